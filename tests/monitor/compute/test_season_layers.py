"""Functions mapped over a season's tiles: selection and order of the tiles, in threads and in processes."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import shapely

from monitor.compute.layers import TileLayers
from monitor.compute.season_layers import CubeTiles
from monitor.lakes.sights import count_sights
from storage.codes import Reason
from storage.cube import Cube
from tests.support.scenery import COL, EPSG, ROW, cut, pixels, season_of
from tests.support.workspaces import uuid_of

SIDE = 64


def positions(layers: TileLayers, *groups: np.ndarray) -> tuple[str, list[int]]:
    return layers.tile.name, [len(group) for group in groups]


def test_tiles_come_in_order_with_the_outlines_that_touch_them() -> None:
    season = season_of(cut(np.zeros((18, 18), bool), 6))
    lakes = np.array([pixels(1, 1, 2, 2), pixels(4, 10, 4, 4), pixels(100, 100, 3, 3)], object)
    nowhere = np.array([None], object)
    mapped = list(season.map(positions, lakes, nowhere, everywhere=True))
    assert [tile for tile, _, _ in mapped] == season.tiles
    for tile, (near, none), (name, counts) in mapped:
        assert name == tile.name and counts == [len(near), 0] and len(none) == 0
        # the margin of four pixels around a tile counts as touching
        expected = [n for n, lake in enumerate(lakes) if lake.intersects(tile.footprint(4))]
        assert near.tolist() == expected
    touched = [tile for tile, (near, _), _ in mapped if len(near)]
    assert [tile for tile, _, _ in season.map(positions, lakes)] == touched
    assert list(season.map(positions, np.array([], object))) == []


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_a_cube_is_read_by_any_scheduler(tmp_path, scheduler: str) -> None:
    cube = Cube(tmp_path / "cube", SIDE)
    cube.prepare(EPSG, 2021)
    row, col = ROW // SIDE * SIDE, COL // SIDE * SIDE
    water = np.zeros((2 * SIDE, 2 * SIDE), bool)
    water[10:90, 20:30] = True
    tiles = cut(water, SIDE, row=row, col=col)
    for layers in tiles[:3]:
        tile = layers.tile
        slot = cube.slot().write(EPSG, 2021, tile.row, tile.col, layers.arrays, uuid_of(tile.name))
        cube.commit(slot, tile.name)
    season = CubeTiles.of(cube.view(), 2021, [layers.tile for layers in tiles])
    everything = np.array([shapely.union_all([layers.tile.footprint(1) for layers in tiles])], object)
    with dask.config.set(scheduler=scheduler):
        counts = sum(tally for _, _, tally in season.map(count_sights, everything))
    assert counts[0, Reason.WATER] == water.sum()
    assert counts[0, Reason.NODATA] == SIDE**2, "a tile that was not written has no data"
    assert counts.sum() == 4 * SIDE**2
