"""Prediction of single tiles, and the places where tiles are computed: threads, GPUs or Dask workers."""
