"""How matrix products are computed on a GPU: by whom, in which tiles, in how many parts."""
