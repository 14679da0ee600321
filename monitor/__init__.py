"""The path: from a region and a season to lakes, their changes and the review queue."""
