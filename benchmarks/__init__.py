"""Benchmarks. Each is a program (`python -m benchmarks.accuracy --json out.json`) that prints tables."""
