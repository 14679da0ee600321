"""A small simulated mountain range with known lakes."""
