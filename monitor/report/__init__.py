"""Reports: area curves, the region map, the scene report."""
