"""The whole way from entries of a graph to a program, for one pass, for two, or for arrays."""
