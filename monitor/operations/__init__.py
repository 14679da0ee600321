"""Runs of many seasons and the schedule."""
