"""Reports for people: area curves, the region map, the scene report."""
