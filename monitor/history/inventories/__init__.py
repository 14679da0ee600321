"""Published inventories: files read, drafted as surveys, and recorded in the same lake history."""
