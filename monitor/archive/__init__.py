"""The archive: catalogues and their profiles, the choice of scenes, and the reading of files."""
