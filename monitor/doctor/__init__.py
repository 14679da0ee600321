"""The doctor: checks of whether a workspace can run."""
