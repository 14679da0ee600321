"""Helpers shared by several tests: scenes, workspaces, servers, samples."""
