"""Runs of many seasons, imports, glacier outlines, and the schedule."""
