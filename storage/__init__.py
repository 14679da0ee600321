"""Everything that persists: lake history in PostGIS, masks in a Zarr cube."""
