"""What can go wrong for the caller of the simulator."""


class SimulatorError(Exception):
    """A request the simulator cannot fulfil: the message says what, where and what to do instead."""
