"""The archive: what catalogues serve, which of their scenes are used, and how files are read."""
