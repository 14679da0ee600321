"""Published inventories in the same history: how files are read, drawn as surveys, and told again."""
