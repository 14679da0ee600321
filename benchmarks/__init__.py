"""Measurements; each runs alone (`python -m benchmarks.accuracy --json out.json`) and prints its table."""
