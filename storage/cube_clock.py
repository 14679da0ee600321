"""Commits after the clock was ahead.

Icechunk refuses a commit that is not later than the one before it. A clock that was ahead once would
therefore prevent all commits until the time that it showed. The time of that last commit is then set to the
present, in its snapshot's file: its contents, its id and its place in the history stay as they are.
"""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk
from numcodecs import zstd

from storage.errors import StorageError

__all__ = ["set_time", "with_present_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: header of a file of Icechunk's format 1: magic bytes, name of the program (24 bytes), version of the
#: format, type of the file (1: snapshot), compression (1: zstd)
_MAGIC, _HEADER, _SNAPSHOT = "ICE🧊CHUNK".encode(), 39, bytes((1, 1, 1))


def with_present_time(repository: icechunk.Repository, place: str, branch: str) -> icechunk.Repository:
    """The repository, in which the last commit of a branch is not later than the present.

    Hold the lock for commits.

    Raises:
        StorageError: it is later and cannot be changed; names the time from which commits are possible.
    """
    now = datetime.now(UTC)
    if _written(repository, branch) < now:
        return repository
    repository = repository.reopen()  # another process may have changed it meanwhile
    written = _written(repository, branch)
    if written < now:
        return repository
    try:
        set_time(place, repository.lookup_branch(branch), written, now)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The cube at {place} was last committed at {written:%Y-%m-%d %H:%M:%S} UTC, but it is "
            f"{now:%Y-%m-%d %H:%M:%S} UTC by this machine's clock, and a commit must be later than the one "
            f"before it ({error}). Check the clock; after that time, run the same command again."
        ) from error
    return repository.reopen()


def set_time(place: str, snapshot: str, old: datetime, new: datetime) -> None:
    """Change the time of a commit in the file of its snapshot.

    Raises OSError or ValueError when the cube is not in a folder, or the file is not of the known format.
    """
    if "://" in place:
        raise ValueError("it is in an object store, where the time of a commit is not changed")
    folder = Path(place)
    path = folder / "snapshots" / snapshot
    content = path.read_bytes()
    if not content.startswith(_MAGIC) or content[_HEADER - 3 : _HEADER] != _SNAPSHOT:
        raise ValueError(f"{path} is not of a known format")
    table = bytes(zstd.decompress(content[_HEADER:]))
    before, after = (struct.pack("<Q", (time - _EPOCH) // _MICROSECOND) for time in (old, new))
    if table.count(before) != 1:
        raise ValueError(f"{path} is not of a known format")
    beside = folder.with_name(f".{folder.name}.snapshot")
    with beside.open("wb") as file:
        file.write(content[:_HEADER] + bytes(zstd.compress(table.replace(before, after), 3)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _written(repository: icechunk.Repository, branch: str) -> datetime:
    return repository.lookup_snapshot(repository.lookup_branch(branch)).written_at
