"""Kernels as the text of Triton modules, and the functions that such modules call."""
