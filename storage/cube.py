"""The Zarr cube: every pixel of every season, transactional and versioned by Icechunk.

A group for each UTM zone (`storage.cube_layout`) with arrays (season, y, x) over the whole zone on the global
10 m grid. Only written chunks take room. A chunk is one tile in one season, written whole by one worker
through a `CubeSlot`; the coordinator commits. Before that nothing of it is visible: a crash leaves the last
commit. `CubeView.dataset` opens a zone with xarray; any tool that reads Zarr through Icechunk can do so too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import icechunk
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from storage import cube_layout as layout
from storage.cube_layout import LAYERS
from storage.cube_place import BRANCH, committing, open_repository
from storage.errors import StorageError, full_disk_is_clear

__all__ = ["LAYERS", "Cube", "CubeSlot", "CubeView"]

_TRIES = 5  # commits of other processes on an object store that one commit outlasts
TilePlace = tuple[int, int, int, int]
"""epsg, season, tile row, tile column."""


@dataclass
class CubeSlot:
    """The right to write tiles; goes to a worker and back by pickle. Invisible until `Cube.commit`."""

    fork: icechunk.session.ForkSession
    place: str
    tile_size: int
    found: dict[TilePlace, UUID | None] = field(default_factory=dict)
    """For each tile written: the task that had written it before, as this slot saw it."""

    def write(
        self, epsg: int, season: int, row: int, col: int, layers: Mapping[str, NDArray[Any]], task_key: UUID
    ) -> CubeSlot:
        """Write the whole tile whose upper-left global pixel is (row, col); returns the slot, to send back.

        layers: all of `LAYERS`, each (tile_size, tile_size). Raises StorageError for an unprepared season, a
        place off the grid, a wrong layer, or a full disk.
        """
        whole = layout.whole(layers, self.tile_size)
        if row % self.tile_size or col % self.tile_size:
            raise StorageError(
                f"({row}, {col}) is no corner of a {self.tile_size} px tile; tiles start at multiples."
            )
        with full_disk_is_clear(f"the cube at {self.place}"):
            group = layout.zone(zarr.open_group(self.fork.store, mode="r+"), epsg)
            index = layout.season_index(group, season)
            tile_row, tile_col = row // self.tile_size, col // self.tile_size
            keys = layout.array(group, "task")
            if not (0 <= tile_row < keys.shape[1] and 0 <= tile_col < keys.shape[2]):
                raise StorageError(
                    f"({row}, {col}) lies outside EPSG:{epsg}; the zone has {keys.shape[1:3]} tiles."
                )
            self.found.setdefault(
                (epsg, season, tile_row, tile_col), _task_at(keys, index, tile_row, tile_col)
            )
            rows, cols = slice(row, row + self.tile_size), slice(col, col + self.tile_size)
            for name, values in whole.items():
                layout.array(group, f"{layout.level_name(1)}/{name}")[index, rows, cols] = values
            for factor, values in layout.overviews(whole[layout.OVERVIEW]).items():
                overview = layout.array(group, f"{layout.level_name(factor)}/{layout.OVERVIEW}")
                top, left = row // factor, col // factor
                overview[index, top : top + len(values), left : left + len(values)] = values
            keys[index, tile_row, tile_col, :] = np.frombuffer(task_key.bytes, np.uint8)
        return self


@dataclass(frozen=True)
class CubeView:
    """The cube as it stood at one commit, whatever is committed while it is read."""

    session: icechunk.Session

    @property
    def snapshot(self) -> str:
        """Id of the commit."""
        return str(self.session.snapshot_id)

    def seasons(self, epsg: int) -> list[int]:
        """Seasons of a zone in the order in which they came; empty when there are none."""
        return layout.seasons(layout.zone(self._root, epsg)) if str(epsg) in self._root else []

    def written(self, epsg: int, season: int) -> dict[tuple[int, int], UUID]:
        """The task that wrote each tile, by (tile_row, tile_col); unwritten tiles are left out."""
        if season not in self.seasons(epsg):
            return {}
        group = layout.zone(self._root, epsg)
        index = layout.season_index(group, season)
        tiles = sorted((r, c) for s, r, c, _ in _chunks(self.session, f"/{epsg}/task") if s == index)
        if not tiles:
            return {}
        (top, left), (bottom, right) = np.min(tiles, axis=0), np.max(tiles, axis=0)
        keys = np.asarray(layout.array(group, "task")[index, top : bottom + 1, left : right + 1, :])
        return {(row, col): UUID(bytes=keys[row - top, col - left].tobytes()) for row, col in tiles}

    def zones(self) -> list[int]:
        """EPSG codes of the zones that were prepared."""
        return sorted(int(name) for name, _ in self._root.groups())

    def dataset(self, epsg: int, factor: int = 1) -> xr.Dataset:
        """A zone's layers (season, y, x) over its whole area, read when they are used.

        Args:
            factor: of `storage.cube_layout.FACTORS`; beyond 1 the mask alone, sampled.

        Raises:
            StorageError: no such zone, or no overview of that factor.
        """
        if (epsg, factor) not in self._opened:
            level = layout.level_name(factor)
            if level not in layout.zone(self._root, epsg):
                raise StorageError(f"The cube at EPSG:{epsg} has no overview by {factor}.")
            self._opened[epsg, factor] = xr.open_zarr(
                self.session.store,
                group=f"{epsg}/{level}",
                consolidated=False,
                chunks=None,
                decode_coords="all",
                mask_and_scale=False,
                # a million coordinates of a zone are not needed to find a pixel by its number
                create_default_indexes=False,
            )
        return self._opened[epsg, factor]

    def window(self, epsg: int, season: int, rows: slice, cols: slice) -> xr.Dataset:
        """The layers (y, x) of a window, in global pixels, read when they are used; fill values where nothing
        was written.

        Raises:
            StorageError: a zone, season or window that is not there.
        """
        index = layout.season_index(layout.zone(self._root, epsg), season)
        dataset = self.dataset(epsg)
        for edge, size in ((rows, dataset.sizes["y"]), (cols, dataset.sizes["x"])):
            if edge.start is None or edge.stop is None or not 0 <= edge.start <= edge.stop <= size:
                raise StorageError(
                    f"Window {rows}, {cols} is not inside EPSG:{epsg} ({dataset.sizes['y']} x "
                    f"{dataset.sizes['x']} pixels)."
                )
        return dataset.isel(season=index, y=rows, x=cols)

    def read(self, epsg: int, season: int, rows: slice, cols: slice, layer: str) -> NDArray[Any]:
        """One layer of `window`, as an array. Raises StorageError for a layer that is not there."""
        if layer not in LAYERS:
            raise StorageError(f"The cube has no layer {layer}; it has {', '.join(LAYERS)}.")
        return np.asarray(self.window(epsg, season, rows, cols)[layer].to_numpy())

    @cached_property
    def _root(self) -> zarr.Group:
        return zarr.open_group(self.session.store, mode="r")

    @cached_property
    def _opened(self) -> dict[tuple[int, int], xr.Dataset]:
        return {}

    def __reduce__(self) -> tuple[type[CubeView], tuple[icechunk.Session]]:
        return CubeView, (self.session,)  # another process opens its own


class Cube:
    """A cube in a folder (or at an s3:// or gs:// URL), made when it is not there.

    Raises StorageError when it was made with another tile size.
    """

    def __init__(self, place: Path | str, tile_size: int) -> None:
        self.place = str(place)
        self.tile_size = tile_size
        self._repository = open_repository(self.place)
        made_with = self._root().attrs.get("tile_size") if self._has_root() else self._make()
        if made_with != tile_size:
            raise StorageError(
                f"The cube at {self.place} was made with tiles of {made_with} px, not {tile_size}. "
                "Set the tile size "
                f"back to {made_with}, or use another workspace."
            )

    def prepare(self, epsg: int, season: int) -> None:
        """Make room for a season of a zone, before slots are handed out; does nothing when it is there."""
        if season in self.seasons(epsg):
            return
        for attempt in range(_TRIES):
            with committing(self.place), full_disk_is_clear(f"the cube at {self.place}"):
                session = self._repository.writable_session(BRANCH)
                root = zarr.open_group(session.store, mode="r+")
                group = (
                    layout.zone(root, epsg)
                    if str(epsg) in root
                    else layout.make_zone(root, epsg, self.tile_size)
                )
                if season in layout.seasons(group):
                    return
                layout.grow(group, season)
                try:
                    session.commit(f"Season {season} of EPSG:{epsg}")
                    return
                except icechunk.ConflictError:
                    if attempt == _TRIES - 1:
                        raise

    def slot(self) -> CubeSlot:
        """A slot for one tile task, based on the last commit."""
        return CubeSlot(self._repository.writable_session(BRANCH).fork(), self.place, self.tile_size)

    def commit(self, slot: CubeSlot, message: str, metadata: Mapping[str, Any] | None = None) -> str:
        """Make a slot's tiles part of the head, all or none; the id of the new snapshot.

        Raises StorageError when another task wrote one of its tiles since the slot was handed out (one chunk,
        one
        writer: its data would be lost in silence), or the disk is full.
        """
        if not slot.found:
            return self.head()
        for attempt in range(_TRIES):
            with committing(self.place), full_disk_is_clear(f"the cube at {self.place}"):
                session = self._repository.writable_session(BRANCH)
                self._refuse_second_writer(session, slot)
                session.merge(slot.fork)
                try:
                    return session.commit(message, dict(metadata or {}))
                except icechunk.ConflictError:
                    if attempt == _TRIES - 1:
                        raise
        raise AssertionError("unreachable")

    def seasons(self, epsg: int) -> list[int]:
        """Seasons of a zone in the order in which they came; empty when there are none."""
        return self.view().seasons(epsg)

    def written(self, epsg: int, season: int) -> dict[tuple[int, int], UUID]:
        """The task that wrote each tile, by (tile_row, tile_col); unwritten tiles are left out."""
        return self.view().written(epsg, season)

    def read(
        self, epsg: int, season: int, rows: slice, cols: slice, layer: str, *, tag: str | None = None
    ) -> NDArray[Any]:
        """A window of one layer, in global pixels, of the head or a tag; fill values where nothing was
        written."""
        return self.view(tag).read(epsg, season, rows, cols, layer)

    def head(self) -> str:
        """Snapshot id of the last commit."""
        return self._repository.lookup_branch(BRANCH)

    def tag(self, name: str) -> None:
        """Give the head a name for ever. Again with the same head: nothing. With another: StorageError."""
        with committing(self.place), full_disk_is_clear(f"the cube at {self.place}"):
            if name not in self._repository.list_tags():
                self._repository.create_tag(name, self.head())
            elif self._repository.lookup_tag(name) != self.head():
                raise StorageError(
                    f"Tag {name} of the cube at {self.place} stands already; choose another name."
                )

    def tags(self) -> list[str]:
        """Names that can be read back."""
        return sorted(self._repository.list_tags())

    def view(self, tag: str | None = None) -> CubeView:
        """The cube as it stands now, or as a tag names it, for many reads of one state."""
        if tag is None:
            return CubeView(self._repository.readonly_session(BRANCH))
        if tag not in self._repository.list_tags():
            raise StorageError(
                f"The cube at {self.place} has no tag {tag}; it has {', '.join(self.tags()) or 'none'}."
            )
        return CubeView(self._repository.readonly_session(tag=tag))

    def store(self, tag: str | None = None) -> icechunk.IcechunkStore:
        """A read-only Zarr store of the head, or of a tag, for xarray and other tools."""
        return self.view(tag).session.store

    def _root(self) -> zarr.Group:
        return zarr.open_group(self.store(), mode="r")

    def _has_root(self) -> bool:
        try:
            self._root()
        except FileNotFoundError:
            return False
        return True

    def _make(self) -> int:
        with committing(self.place), full_disk_is_clear(f"the cube at {self.place}"):
            if not self._has_root():
                session = self._repository.writable_session(BRANCH)
                zarr.create_group(
                    session.store, attributes={"tile_size": self.tile_size, "pixel_m": layout.PIXEL_M}
                )
                session.commit("Make the cube")
        return int(str(self._root().attrs["tile_size"]))

    def _refuse_second_writer(self, session: icechunk.Session, slot: CubeSlot) -> None:
        root = zarr.open_group(session.store, mode="r")
        for (epsg, season, tile_row, tile_col), found in slot.found.items():
            group = layout.zone(root, epsg)
            now = _task_at(
                layout.array(group, "task"), layout.season_index(group, season), tile_row, tile_col
            )
            if now != found:
                raise StorageError(
                    f"Tile ({tile_row}, {tile_col}) of EPSG:{epsg}, season {season} was written by "
                    f"task {now} while "
                    "this task worked on it; nothing of this one was kept. Run it again when the "
                    "other has ended."
                )


def _task_at(keys: zarr.Array[Any], index: int, tile_row: int, tile_col: int) -> UUID | None:
    key = np.asarray(keys[index, tile_row, tile_col, :]).tobytes()
    return UUID(bytes=key) if any(key) else None


def _chunks(session: icechunk.Session, path: str) -> list[tuple[int, ...]]:
    """Coordinates of the chunks an array has. In a thread of its own: the caller may run an event loop."""

    async def gather() -> list[tuple[int, ...]]:
        return [coordinates async for coordinates in session.chunk_coordinates(path)]

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, gather()).result()
