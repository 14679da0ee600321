"""Errors of the package `simulator`."""


class SimulatorError(Exception):
    """Invalid arguments or input; the message names the cause, the place and a remedy."""
