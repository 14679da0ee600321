"""The review queue: disagreements with an independent index, lakes that lost water, and their export."""
