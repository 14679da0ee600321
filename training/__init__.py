"""The model rebuilt from labels and scenes."""
