"""Executors: what a caller hands in is checked, a program is compiled for it and run."""
