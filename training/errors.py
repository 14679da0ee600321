"""Errors of the package `training`."""


class TrainingError(Exception):
    """Training or scoring cannot continue; the message names the cause, the place and a remedy."""
