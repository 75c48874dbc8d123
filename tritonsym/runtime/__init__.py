"""Plans as programs that run: prepared torch calls, or launches of compiled kernels."""
