"""Zarr cube of all pixels and seasons, in an Icechunk repository (transactional and versioned).

Each UTM zone has a group (`storage.cube_layout`) with arrays (season, y, x) over the whole zone on the global
10 m grid. Only written chunks take space. A chunk is one tile in one season; one worker writes it whole
through a `CubeSlot`, and the coordinator commits. Uncommitted chunks are not visible, so a crash leaves the
last commit. `CubeView.dataset` opens a zone with xarray, as can any tool that reads Zarr through Icechunk.

Each region has its own branch. Regions overlap, and the layers of a tile depend on the region (its zone and
season), so a tile of two regions is kept twice. A region's branch begins at the branch `main`, which holds
what earlier versions wrote for all regions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from storage import cube_layout as layout
from storage.cube_clock import with_present_time
from storage.cube_damage import readable_metadata
from storage.cube_layout import LAYERS
from storage.cube_place import BRANCH, committing, open_repository
from storage.cube_view import CubeView
from storage.errors import StorageError, storage_error_on_full_disk

__all__ = ["LAYERS", "Cube", "CubeSlot", "tags_of"]

_TRIES = 5  # attempts at a commit while other processes commit to the same object store
TilePlace = tuple[int, int, int, int]
"""epsg, season, tile row, tile column."""


@dataclass
class CubeSlot:
    """Session of one worker for writing tiles, sent to the worker and back by pickle.

    Its tiles become visible with `Cube.commit`.
    """

    fork: icechunk.session.ForkSession
    place: str
    tile_size: int
    found: dict[TilePlace, UUID | None] = field(default_factory=dict)
    """For each tile written: the task that had written it before, None if none had."""

    def write(
        self, epsg: int, season: int, row: int, col: int, layers: Mapping[str, NDArray[Any]], task_key: UUID
    ) -> CubeSlot:
        """Write the whole tile whose upper-left global pixel is (row, col); return this slot, to send back.

        layers: all of `LAYERS`, each (tile_size, tile_size). Raises StorageError for an unprepared season, a
        position that is not a tile's corner or lies outside the zone, a wrong layer, or a full disk.
        """
        whole = layout.whole(layers, self.tile_size)
        if row % self.tile_size or col % self.tile_size:
            raise StorageError(
                f"({row}, {col}) is not the upper-left corner of a tile; rows and columns of corners are "
                f"multiples of {self.tile_size}."
            )
        with storage_error_on_full_disk(f"the cube at {self.place}"):
            group = layout.zone(zarr.open_group(self.fork.store, mode="r+"), epsg)
            index = layout.season_index(group, season)
            tile_row, tile_col = row // self.tile_size, col // self.tile_size
            keys = layout.array(group, "task")
            if not (0 <= tile_row < keys.shape[1] and 0 <= tile_col < keys.shape[2]):
                raise StorageError(
                    f"({row}, {col}) lies outside EPSG:{epsg}; the zone has {keys.shape[1:3]} tiles."
                )
            self.found.setdefault(
                (epsg, season, tile_row, tile_col), layout.task_at(keys, index, tile_row, tile_col)
            )
            for name, values in whole.items():
                layer = layout.array(group, f"{layout.level_name(1)}/{name}")
                layout.write(layer, index, row, col, values)
            for factor, values in layout.overviews(whole[layout.OVERVIEW]).items():
                overview = layout.array(group, f"{layout.level_name(factor)}/{layout.OVERVIEW}")
                layout.write(overview, index, row // factor, col // factor, values)
            keys[index, tile_row, tile_col, :] = np.frombuffer(task_key.bytes, np.uint8)
        return self


class Cube:
    """The layers of a region, in a cube in a folder or at an s3:// or gs:// URL; created when missing.

    Without a region, the branch `main` is used. `alone` is held during each commit, besides the lock of a
    folder, which other machines do not see. Raises StorageError when the cube exists with another tile size.
    """

    def __init__(
        self,
        place: Path | str,
        tile_size: int,
        region: str | None = None,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.place = str(place)
        self._alone = alone
        self.tile_size = tile_size
        self.region = region
        self._repository = open_repository(self.place)
        made_with = self._root().attrs.get("tile_size") if self._has_root() else self._make()
        if made_with != tile_size:
            raise StorageError(
                f"The cube at {self.place} was made with tiles of {made_with} px, not {tile_size}. "
                f"Set the tile size back to {made_with}, or use another workspace."
            )

    @property
    def branch(self) -> str:
        """The region's branch, or `main` as long as the region has none."""
        own = _stored(f"region-{self.region}")
        return own if self.region is not None and own in self._repository.list_branches() else BRANCH

    def regions(self) -> list[str]:
        """Names of the regions that have layers in the cube, sorted."""
        names = _plain(self._repository.list_branches())
        return [name.removeprefix("region-") for name in names if name.startswith("region-")]

    def prepare(self, epsg: int, season: int) -> None:
        """Add a season to a zone, before slots are created, and the layers that an earlier version lacked.

        Does nothing when the zone has them.
        """
        self._begin_branch()
        view = self.view()
        if season in view.seasons(epsg) and not view.lacking(epsg):
            return

        def grown(session: icechunk.Session) -> bool:
            root = zarr.open_group(session.store, mode="r+")
            group = (
                layout.zone(root, epsg) if str(epsg) in root else layout.make_zone(root, epsg, self.tile_size)
            )
            known, lacking = season in layout.seasons(group), layout.lacking(group)
            layout.complete(group, self.tile_size)
            if not known:
                layout.grow(group, season)
            return bool(lacking) or not known

        self._commit(grown, f"Season {season} of EPSG:{epsg}")

    def slot(self) -> CubeSlot:
        """Return a slot for one tile task, based on the last commit."""
        return CubeSlot(self._repository.writable_session(self.branch).fork(), self.place, self.tile_size)

    def commit(self, slot: CubeSlot, message: str, metadata: Mapping[str, Any] | None = None) -> str:
        """Commit all tiles of a slot to the head; return the id of the new snapshot.

        Raises StorageError when another task has committed one of these tiles since the slot was created
        (this commit would overwrite it), or when the disk is full.
        """
        if not slot.found:
            return self.head()

        def merged(session: icechunk.Session) -> bool:
            self._refuse_second_writer(session, slot)
            session.merge(slot.fork)
            return True

        return self._commit(merged, message, metadata)

    def seasons(self, epsg: int) -> list[int]:
        """Seasons of a zone in the order in which they were added; empty when there are none."""
        return self.view().seasons(epsg)

    def written(self, epsg: int, season: int) -> dict[tuple[int, int], UUID]:
        """The task that wrote each tile, by (tile_row, tile_col); unwritten tiles are left out."""
        return self.view().written(epsg, season)

    def read(
        self, epsg: int, season: int, rows: slice, cols: slice, layer: str, *, tag: str | None = None
    ) -> NDArray[Any]:
        """One layer of a window in global pixels, at the head or a tag; fill values where nothing was
        written."""
        return self.view(tag).read(epsg, season, rows, cols, layer)

    def head(self) -> str:
        """Snapshot id of the last commit."""
        return self._repository.lookup_branch(self.branch)

    def tag(self, name: str) -> None:
        """Tag the head, unless it has the tag already.

        Raises StorageError when the tag names another snapshot.
        """
        if self._tagged(name):
            return
        if name not in self.tags() or self._repository.lookup_tag(_stored(name)) != self.head():
            raise StorageError(f"Tag {name} of the cube at {self.place} exists already; choose another name.")

    def tag_again(self, name: str) -> None:
        """Tag the head as `name`, or as `name-2`, `name-3` … if that was used: a tag names one snapshot for
        ever, also when it was removed."""
        latest = self.latest_tag(name)
        if latest is not None and self._repository.lookup_tag(_stored(latest)) == self.head():
            return
        number = 1 if latest is None else int(latest.removeprefix(name).removeprefix("-") or 1) + 1
        while not self._tagged(name if number == 1 else f"{name}-{number}"):
            number += 1

    def _tagged(self, name: str) -> bool:
        """Tag the head; False if there is or was a tag of this name."""
        with self._alone(), committing(self.place), storage_error_on_full_disk(f"the cube at {self.place}"):
            try:
                self._repository.create_tag(_stored(name), self.head())
            except icechunk.IcechunkError as error:
                if "already exists" in str(error):
                    return False
                raise
        return True

    def latest_tag(self, name: str) -> str | None:
        """The last tag that `tag_again` made for a name; None if there is none."""
        return next(reversed(tags_of(self.tags(), name)), None)

    def tags(self) -> list[str]:
        """Names of all tags, sorted."""
        return _plain(self._repository.list_tags())

    def clean(self, before: datetime, tags: Iterable[str] = ()) -> int:
        """Remove tags, versions that were made before a time, and all files to which none refers.

        Heads of branches and the other tags stay; a tag that was made since stays too. No slot may be in use:
        its chunks would be removed.

        Returns:
            the number of versions that left the history.
        """
        with self._alone(), committing(self.place), readable_metadata():
            for name in tags:
                made = next(self._repository.ancestry(tag=_stored(name))).written_at
                if made < before:
                    self._repository.delete_tag(_stored(name))
            removed = self._repository.expire_snapshots(before)
            self._repository.garbage_collect(before)
            self._repository = self._repository.reopen()
        return len(removed)

    def view(self, tag: str | None = None) -> CubeView:
        """The cube at the head or at a tag. Raises StorageError for an unknown tag."""
        if tag is None:
            with readable_metadata():
                return CubeView(self._repository.readonly_session(self.branch))
        if tag not in self.tags():
            raise StorageError(
                f"The cube at {self.place} has no tag {tag}; it has {', '.join(self.tags()) or 'none'}."
            )
        return CubeView(self._repository.readonly_session(tag=_stored(tag)))

    def store(self, tag: str | None = None) -> icechunk.IcechunkStore:
        """Read-only Zarr store of the head or of a tag, for xarray and other tools."""
        return self.view(tag).session.store

    def _begin_branch(self) -> None:
        """Create the region's branch at the head of `main`, unless it exists."""
        if self.region is None or self.branch != BRANCH:
            return
        with self._alone(), committing(self.place), storage_error_on_full_disk(f"the cube at {self.place}"):
            try:
                head = self._repository.lookup_branch(BRANCH)
                self._repository.create_branch(_stored(f"region-{self.region}"), head)
            except icechunk.IcechunkError:
                if self.branch == BRANCH:  # else another process has created it
                    raise

    def _root(self) -> zarr.Group:
        with readable_metadata():
            return zarr.open_group(self.store(), mode="r")

    def _has_root(self) -> bool:
        try:
            self._root()
        except FileNotFoundError:
            return False
        return True

    def _make(self) -> int:
        def made(session: icechunk.Session) -> bool:
            if self._has_root():
                return False
            zarr.create_group(
                session.store, attributes={"tile_size": self.tile_size, "pixel_m": layout.PIXEL_M}
            )
            return True

        self._commit(made, "Make the cube")
        return int(str(self._root().attrs["tile_size"]))

    def _commit(
        self,
        change: Callable[[icechunk.Session], bool],
        message: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Commit what `change` makes of a session, unless it returns False; return the id of the head."""
        for attempt in range(_TRIES):
            with (
                self._alone(),
                committing(self.place),
                readable_metadata(),
                storage_error_on_full_disk(f"the cube at {self.place}"),
            ):
                self._repository = with_present_time(self._repository, self.place, self.branch)
                session = self._repository.writable_session(self.branch)
                if not change(session):
                    break
                try:
                    return session.commit(message, dict(metadata or {}))
                except icechunk.ConflictError:
                    if attempt == _TRIES - 1:
                        raise
        return self.head()

    def _refuse_second_writer(self, session: icechunk.Session, slot: CubeSlot) -> None:
        root = zarr.open_group(session.store, mode="r")
        for (epsg, season, tile_row, tile_col), found in slot.found.items():
            group = layout.zone(root, epsg)
            now = layout.task_at(
                layout.array(group, "task"), layout.season_index(group, season), tile_row, tile_col
            )
            if now != found:
                raise StorageError(
                    f"Tile ({tile_row}, {tile_col}) of EPSG:{epsg}, season {season} was written by task "
                    f"{now} while this task worked on it; the results of this task were not kept. Run it "
                    "again when the other run has ended."
                )


def tags_of(tags: Iterable[str], name: str) -> list[str]:
    """Those of `tags` that `Cube.tag_again` made for a name, the latest last."""
    own = (tag for tag in tags if re.fullmatch(rf"{re.escape(name)}(-\d+)?", tag))
    return sorted(own, key=lambda tag: int(tag[len(name) + 1 :] or 1))


def _stored(name: str) -> str:
    """A name of a branch or a tag in ASCII. Icechunk does not list the tags whose files it must encode."""
    return quote(name, safe=" ").replace("~", "%7E").replace("%", "=")


def _plain(names: Iterable[str]) -> list[str]:
    """Names of branches or tags, from `_stored` ones, sorted."""
    return sorted(unquote(name.replace("=", "%")) for name in names)
