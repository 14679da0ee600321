"""The tiles of a survey: whether the cube still holds their layers, and the tile of each lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import geopandas

from monitor.grid import Tile, tile_at, tile_named
from monitor.lakes.glaciers import glacier_distances
from monitor.settings import Region
from storage.codes import Outcome

if TYPE_CHECKING:
    from storage.cube import Cube


def holds(cube: Cube, season: int, drawn_from: Mapping[str, str | None]) -> bool:
    """Whether the cube holds the layers of all tasks in `drawn_from`, tiles without layers aside."""
    keys = {tile_named(name): UUID(key) for name, key in drawn_from.items() if key}
    written = {epsg: cube.written(epsg, season) for epsg in {tile.epsg for tile in keys}}
    places = {tile: (tile.row // tile.size, tile.col // tile.size) for tile in keys}
    return bool(drawn_from) and all(written[tile.epsg].get(places[tile]) == key for tile, key in keys.items())


def located(
    observations: geopandas.GeoDataFrame,
    region: Region,
    tiles: Sequence[Tile],
    drawn_from: Mapping[str, str | None],
) -> geopandas.GeoDataFrame:
    """Observations with the task of the tile on which each lake lies, and its distance to a glacier."""
    water = observations.outcome == Outcome.WATER
    keys: list[UUID | None] = [None] * len(observations)
    size = tiles[0].size if tiles else 1
    for at, outline in enumerate(observations.geometry):
        if outline is not None:
            point = outline.representative_point()
            key = drawn_from.get(tile_at(point.x, point.y, size).name)
            keys[at] = None if key is None else UUID(key)
    placed = observations.assign(task_key=keys, glacier_m=None)
    if region.glaciers is not None:
        placed.loc[water, "glacier_m"] = glacier_distances(observations.geometry[water], region.glaciers)
    return placed
