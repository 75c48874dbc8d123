"""Which expressions are computed together, as one kernel."""
