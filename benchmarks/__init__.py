"""Measurements: how near the hardware's limit graphs run, and who is ahead of whom.

``python -m benchmarks`` runs them; ``--help`` shows the options.
"""
