"""Persistent storage: the lake history in PostGIS and the masks in a Zarr cube."""
