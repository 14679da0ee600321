"""Base class of all errors of the package `storage`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.redaction import redacted

__all__ = ["StorageError", "storage_error_on_full_disk"]

_NO_SPACE = ("No space left on device", "os error 28", "ENOSPC", "disk full")


class StorageError(Exception):
    """Stored data could not be read or written. The message gives the cause, the place and a remedy."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(str(message)))


@contextmanager
def storage_error_on_full_disk(place: str) -> Iterator[None]:
    """Convert the errors of a full disk (OSError, psycopg, Icechunk) to a `StorageError` that names `place`.

    Other exceptions pass unchanged. Every writer of this package commits in one step, so nothing half-written
    is visible.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if not any(sign in str(error) for sign in _NO_SPACE):
            raise
        raise StorageError(
            f"The disk is full: {place} could not be written. The results of this step were not kept, "
            "earlier results are unchanged; free some space and run the same command again."
        ) from error
