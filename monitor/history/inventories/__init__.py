"""Published inventories: their files read, drafted as surveys, and recorded in the same history."""
