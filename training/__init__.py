"""Training of the small model from simulated scenes and their labels."""
