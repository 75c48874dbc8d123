"""The answers of real MXNet 1.9.1: cases, recorders, and the deviations chosen on purpose."""
