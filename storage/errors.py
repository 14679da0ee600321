"""The one error base of this room: what went wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["StorageError", "full_disk_is_clear"]

_NO_SPACE = ("No space left on device", "os error 28", "ENOSPC", "disk full")


class StorageError(Exception):
    """Something that persists could not be read or written; the message says what, where and what to do."""


@contextmanager
def full_disk_is_clear(place: str) -> Iterator[None]:
    """Turn the many faces of a full disk (OSError, psycopg, Icechunk) into one `StorageError` naming `place`.

    Other exceptions pass unchanged. Every writer of this room commits in one step, so the message can promise
    that nothing half-written is visible.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if not any(sign in str(error) for sign in _NO_SPACE):
            raise
        raise StorageError(
            f"The disk is full: {place} could not be written. Nothing of this step was kept and earlier "
            "results are untouched; free some space and run the same command again."
        ) from error
