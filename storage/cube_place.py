"""Repository of the cube: opened in a folder or an object store, and locked for commits in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import icechunk

from storage.errors import StorageError, storage_error_on_full_disk

__all__ = ["BRANCH", "committing", "open_repository"]

BRANCH = "main"

# Icechunk warns at every commit that a local folder does not protect against concurrent commits; `committing`
# does.
if "ICECHUNK_LOG" not in os.environ:
    icechunk.set_logs_filter("error")


def open_repository(place: str) -> icechunk.Repository:
    """Open the Icechunk repository in a folder or at an s3:// or gs:// URL; create it when it does not exist.

    Raises StorageError for another kind of URL or a place that cannot be used.
    """
    # A commit rewrites the manifests that it changes. Manifests are split by season and by bands of tiles;
    # otherwise each commit would rewrite one manifest of all tiles.
    axis = icechunk.ManifestSplitDimCondition
    cut: dict[Any, int] = {
        axis.DimensionName("season"): 1,
        axis.DimensionName("y"): 32,
        axis.DimensionName("tile_row"): 32,
    }
    splitting = icechunk.ManifestSplittingConfig.from_dict({icechunk.ManifestSplitCondition.AnyArray(): cut})
    config = icechunk.RepositoryConfig(manifest=icechunk.ManifestConfig(splitting=splitting))
    with committing(place), storage_error_on_full_disk(f"the cube at {place}"):
        try:
            return icechunk.Repository.open_or_create(_storage(place), config=config)
        except icechunk.IcechunkError as error:
            reason = str(error).strip().splitlines()[0]
            raise StorageError(
                f"The cube at {place} cannot be opened: {reason}. Check the path and rights."
            ) from error


@contextmanager
def committing(place: str) -> Iterator[None]:
    """Hold the lock for commits. Commits of Icechunk are atomic on object stores, but not in a folder."""
    if "://" in place:
        yield
        return
    path = Path(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise StorageError(
            f"The cube's folder {path} cannot be used: {error}. Check the path and rights."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _storage(place: str) -> icechunk.Storage:
    if "://" not in place:
        return icechunk.local_filesystem_storage(place)
    url = urlsplit(place)
    prefix = url.path.strip("/") or None
    if url.scheme == "s3":
        return icechunk.s3_storage(bucket=url.netloc, prefix=prefix, from_env=True)
    if url.scheme in ("gs", "gcs"):
        return icechunk.gcs_storage(bucket=url.netloc, prefix=prefix, from_env=True)
    raise StorageError(f"The cube at {place}: {url.scheme}:// is not known. Use a folder, s3://… or gs://….")
