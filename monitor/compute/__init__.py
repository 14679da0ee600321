"""One tile's prediction, and where tiles are computed: threads, GPUs or the workers of a Dask scheduler."""
