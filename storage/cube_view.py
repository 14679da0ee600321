"""Reading the cube: its layers and the tasks that wrote them, at one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, TypeVar
from uuid import UUID

import icechunk
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from storage import cube_layout as layout
from storage.codes import NO_ANSWER, Sensor, tile_name
from storage.cube_damage import readable, readable_metadata
from storage.cube_layout import LAYERS
from storage.errors import StorageError

#: the layer that earlier versions lacked
SOURCES = "sources"

Result = TypeVar("Result")


@dataclass(frozen=True)
class CubeView:
    """The cube at one commit, unchanged by later commits."""

    session: icechunk.Session

    @property
    def snapshot(self) -> str:
        """Id of the commit."""
        return str(self.session.snapshot_id)

    def seasons(self, epsg: int) -> list[int]:
        """Seasons of a zone in the order in which they were added; empty when there are none."""
        with readable_metadata():
            return layout.seasons(layout.zone(self.root, epsg)) if str(epsg) in self.root else []

    def lacking(self, epsg: int) -> list[str]:
        """The layers that a zone lacks because an earlier version made it."""
        with readable_metadata():
            return layout.lacking(layout.zone(self.root, epsg))

    def written(self, epsg: int, season: int) -> dict[tuple[int, int], UUID]:
        """The task that wrote each tile, by (tile_row, tile_col); unwritten tiles are left out."""
        with readable_metadata():
            if season not in self.seasons(epsg):
                return {}
            group = layout.zone(self.root, epsg)
            index = layout.season_index(group, season)
            tiles = sorted((r, c) for s, r, c, _ in self.chunks(f"{epsg}/task") if s == index)
            if not tiles:
                return {}
            (top, left), (bottom, right) = np.min(tiles, axis=0), np.max(tiles, axis=0)
            task = layout.array(group, "task")
            try:
                keys = np.asarray(task[index, top : bottom + 1, left : right + 1, :])
            except ValueError:  # a checksum: the key of a damaged chunk is not that of any task
                found = {(row, col): layout.task_at(task, index, row, col) for row, col in tiles}
                return {place: key for place, key in found.items() if key is not None}
        return {(row, col): UUID(bytes=keys[row - top, col - left].tobytes()) for row, col in tiles}

    def chunks(self, path: str) -> list[tuple[int, ...]]:
        """Coordinates of the written chunks of an array, such as "32643/r10m/mask"."""
        return _chunks(self.session, f"/{path}")

    def zones(self) -> list[int]:
        """EPSG codes of the zones that were prepared."""
        return sorted(int(name) for name, _ in self.root.groups())

    def dataset(self, epsg: int, factor: int = 1) -> xr.Dataset:
        """Layers (season, y, x) of a whole zone, read lazily.

        Args:
            factor: one of `storage.cube_layout.FACTORS`; above 1, only the mask, sampled.

        Raises:
            StorageError: the zone or the overview does not exist.
        """
        with readable_metadata():
            if (epsg, factor) not in self._opened:
                level, group = layout.level_name(factor), layout.zone(self.root, epsg)
                if level not in group:
                    raise StorageError(f"The cube at EPSG:{epsg} has no overview by {factor}.")
                if factor == 1 and layout.stores_every_chunk(group):
                    for layer in LAYERS:
                        layout.array(group, f"{level}/{layer}")
                self._opened[epsg, factor] = xr.open_zarr(
                    self.session.store,
                    group=f"{epsg}/{level}",
                    consolidated=False,
                    chunks=None,
                    decode_coords="all",
                    mask_and_scale=False,
                    # indexes would load the million coordinates of a zone; pixels are selected by number
                    create_default_indexes=False,
                )
        return self._opened[epsg, factor]

    def window(self, epsg: int, season: int, rows: slice, cols: slice) -> xr.Dataset:
        """Layers (y, x) of a window in global pixels, read lazily; fill values where nothing was written.

        A layer that an earlier version lacked may be missing; `values_of` has it.

        Raises:
            StorageError: the zone or season does not exist, or the window exceeds the zone.
            DamagedError: the metadata has lost a layer, or chunks of a written tile.
        """
        with readable_metadata():
            group = layout.zone(self.root, epsg)
            index = layout.season_index(group, season)
        dataset = self.dataset(epsg)
        for edge, size in ((rows, dataset.sizes["y"]), (cols, dataset.sizes["x"])):
            if edge.start is None or edge.stop is None or not 0 <= edge.start <= edge.stop <= size:
                raise StorageError(
                    f"Window {rows}, {cols} is not inside EPSG:{epsg} ({dataset.sizes['y']} x "
                    f"{dataset.sizes['x']} pixels)."
                )
        if layout.stores_every_chunk(group):
            self._require_chunks(epsg, season, index, rows, cols)
        return dataset.isel(season=index, y=rows, x=cols)

    def _require_chunks(self, epsg: int, season: int, index: int, rows: slice, cols: slice) -> None:
        """Raise `DamagedError` if a written tile of a window lacks the chunk of a layer.

        Metadata has no checksum: where it is damaged, a chunk may seem never written, and Zarr would return
        fill values.
        """
        with readable_metadata():
            size = int(str(self.root.attrs["tile_size"]))
            places = list(product((index,), _blocks(rows, size), _blocks(cols, size)))
            first = f"{epsg}/{layout.level_name(1)}"
            tasks = {place: _key(f"{epsg}/task", (*place, 0)) for place in places}
            chunks = {(place, layer): _key(f"{first}/{layer}", place) for place in places for layer in LAYERS}
            stored = self._stored([*tasks.values(), *chunks.values()])
        for (place, layer), key in chunks.items():
            if stored[tasks[place]] and not stored[key]:
                with readable(f"layer {layer} of tile {tile_name(epsg, size, *place[1:])}", season):
                    raise ValueError("its chunk is missing in the metadata")

    def _stored(self, keys: list[str]) -> dict[str, bool]:
        """Whether the store has each of some keys."""

        async def gather() -> list[bool]:
            return await asyncio.gather(*(self.session.store.exists(key) for key in keys))

        return dict(zip(keys, _run(gather()), strict=True))

    def read(self, epsg: int, season: int, rows: slice, cols: slice, layer: str) -> NDArray[Any]:
        """One layer of `window` as an array (y, x).

        Raises StorageError for an unknown layer, and `DamagedError` naming the tiles if it cannot be read.
        """
        if layer not in LAYERS:
            raise StorageError(f"The cube has no layer {layer}; it has {', '.join(LAYERS)}.")
        window = self.window(epsg, season, rows, cols)
        with readable(f"layer {layer} of {self._tiles_of(epsg, rows, cols)}", season):
            return values_of(window, layer)

    def _tiles_of(self, epsg: int, rows: slice, cols: slice) -> str:
        """Names of the tiles of a window."""
        size = int(str(self.root.attrs["tile_size"]))
        places = product(*(_blocks(edge, size) for edge in (rows, cols)))
        names = [tile_name(epsg, size, row, col) for row, col in places]
        more = f" or one of {len(names) - 1} more" if len(names) > 4 else ""
        return f"tile {names[0]}{more}" if more else f"tile {' or '.join(names)}"

    @cached_property
    def root(self) -> zarr.Group:
        """The group of the whole cube."""
        with readable_metadata():
            return zarr.open_group(self.session.store, mode="r")

    @cached_property
    def _opened(self) -> dict[tuple[int, int], xr.Dataset]:
        return {}

    def __reduce__(self) -> tuple[type[CubeView], tuple[icechunk.Session]]:
        return CubeView, (self.session,)  # without the opened datasets: another process opens its own


def values_of(window: xr.Dataset, layer: str, *, one_tile: bool = False) -> NDArray[Any]:
    """A layer of a window as an array (y, x), also one that an earlier version lacked.

    Args:
        one_tile: the window lies within a tile, so that one version wrote all of it.
    """
    if layer != SOURCES:
        return np.asarray(window[layer].to_numpy())
    if one_tile and SOURCES in window:
        stored = np.asarray(window[SOURCES].to_numpy())
        if stored.any():
            return stored
    return np.asarray(known_sources(window).to_numpy())


def known_sources(layers: xr.Dataset) -> xr.DataArray:
    """The layer `sources` of some layers, of which it may be missing.

    Earlier versions lacked it, and predicted only pixels with all sensors. So these are the sensors of a
    pixel of their tiles that has an answer.
    """
    # without the coordinates, which would be read and compared
    mask = layers["mask"].variable
    stored = layers[SOURCES].variable if SOURCES in layers else xr.zeros_like(mask)
    every = np.uint8(Sensor.OPTICAL | Sensor.RADAR | Sensor.ELEVATION)
    known = stored + every * ((stored == 0) & (mask != NO_ANSWER))
    sources = layers["mask"].copy(data=known.data).rename(SOURCES)
    sources.attrs = dict(LAYERS[SOURCES].attributes)
    return sources


def _blocks(edge: slice, size: int) -> range:
    """Rows or columns of the tiles that an edge of a window crosses."""
    return range(edge.start // size, (edge.stop - 1) // size + 1) if edge.stop > edge.start else range(0)


def _key(path: str, place: tuple[int, ...]) -> str:
    """Key of a chunk in the store."""
    return "/".join([path, "c", *map(str, place)])


def _chunks(session: icechunk.Session, path: str) -> list[tuple[int, ...]]:
    """Coordinates of an array's written chunks."""

    async def gather() -> list[tuple[int, ...]]:
        return [coordinates async for coordinates in session.chunk_coordinates(path)]

    return _run(gather())


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, run in a thread because the caller may run an event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
