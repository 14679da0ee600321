"""What can go wrong for someone who trains a model."""


class TrainingError(Exception):
    """A rebuild that cannot go on: the message says what, where, and what to do about it."""
