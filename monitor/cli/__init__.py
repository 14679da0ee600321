"""The commands: one file for each group; arguments, calls and printing."""
