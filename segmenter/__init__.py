"""Segmenters: TerraMind networks and an index baseline, from arrays to arrays."""
