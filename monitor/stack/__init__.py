"""The stack of a tile: composite, backscatter, elevation and masks, on the global grid."""
