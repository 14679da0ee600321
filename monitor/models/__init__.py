"""Models on this machine: list and import."""
