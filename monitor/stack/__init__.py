"""The stack: composite, backscatter and ground of a tile, on the global grid."""
