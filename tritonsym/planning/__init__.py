"""In which order kernels run and where each value lies, and how a plan is shown."""
