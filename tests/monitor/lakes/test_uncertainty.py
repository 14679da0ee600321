"""The error of a lake's area: the contribution of each pixel's doubt, independent of the tiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, Tile, reproject, tiles_of
from monitor.lakes.uncertainty import area_errors, area_sigma, combine
from monitor.lakes.vectorise import vectorise
from storage.codes import Reason
from tests.support.scenery import EVERYWHERE, cut, picture, tile_layers

SIDE = 12
masks = arrays(bool, (SIDE, SIDE), elements=st.booleans())
doubts = arrays(np.float32, (SIDE, SIDE), elements=st.floats(0, 0.5, width=32))


def errors(water: np.ndarray, doubt: np.ndarray | float, size: int | None = None, **layers) -> pd.DataFrame:
    maps = cut(water, size or len(water), uncertainty=doubt, **layers)
    return area_errors(maps, vectorise(maps, EVERYWHERE, 0))


def test_sigma_by_hand() -> None:
    """A lake of 10 x 10 pixels has 40 edge pixels: 0.6872 x 40 x 50 m2."""
    assert area_sigma(400.0) == pytest.approx(1374.4)
    assert area_sigma(400.0, pixel_m=30.0) == pytest.approx(0.6872 * 400 / 30 * 900 / 2)


def test_the_error_includes_two_pixels_around_the_lake() -> None:
    """One pixel has a margin of 24: with a doubt of 0.1 each, 25 x 0.1 x 100 m2."""
    water = np.zeros((9, 9), bool)
    water[4, 4] = True
    found = errors(water, 0.1)
    assert found.model_m2[0] == pytest.approx(250, rel=1e-5)
    assert found.shoreline_m2[0] == pytest.approx(area_sigma(40))
    doubt = np.zeros((9, 9), np.float32)
    doubt[2, 2], doubt[1, 1], doubt[4, 7] = 0.25, 0.5, 0.5
    assert errors(water, doubt).model_m2[0] == 25, "two pixels away counts, three does not"


def test_water_of_a_neighbouring_lake_does_not_count() -> None:
    """Two pixels apart: doubt about the dry ground between counts for both, about water for its own lake."""
    water = picture("......... ......... ..#..#... ......... .........")
    water = np.pad(water, ((2, 2), (0, 0)))
    doubt = np.zeros(water.shape, np.float32)
    doubt[4, 2], doubt[4, 3] = 0.25, 0.125
    assert errors(water, doubt).model_m2.tolist() == [37.5, 12.5]
    near = picture("......... ......... ..#.#.... ......... .........")
    near = np.pad(near, ((2, 2), (0, 0)))
    doubt[4, 3] = 0
    assert errors(near, doubt).model_m2.tolist() == [25, 0]


@settings(max_examples=20, deadline=None)
@given(masks, doubts)
def test_any_doubt_in_any_tiling(water: np.ndarray, doubt: np.ndarray) -> None:
    """Equal to the last bit, because sums are made of whole grains."""
    whole = errors(water, doubt)
    for size in (6, 4, 2):
        assert errors(water, doubt, size).model_m2.tolist() == whole.model_m2.tolist()
    backwards = cut(water, 3, uncertainty=doubt)[::-1]
    assert area_errors(backwards, vectorise(backwards, EVERYWHERE, 0)).equals(errors(water, doubt, 3))


@settings(max_examples=40, deadline=None)
@given(masks, doubts, doubts, st.floats(0.1, 5))
def test_more_doubt_is_more_error(water: np.ndarray, doubt: np.ndarray, more: np.ndarray, factor: float):
    less, greater = errors(water, doubt), errors(water, np.maximum(doubt, more))
    assert (less.model_m2 >= 0).all() and (less.shoreline_m2 > 0).all()
    assert (greater.model_m2 >= less.model_m2).all()
    sigma = combine(less.shoreline_m2, less.model_m2, factor)
    assert (combine(greater.shoreline_m2, greater.model_m2, factor) >= sigma).all()
    assert np.all(sigma >= factor * np.maximum(less.shoreline_m2, less.model_m2) * (1 - 1e-12))


@settings(max_examples=40, deadline=None)
@given(masks, doubts, masks)
def test_unobserved_pixels_add_nothing(water: np.ndarray, doubt: np.ndarray, hidden: np.ndarray) -> None:
    reason = np.where(hidden, Reason.CLOUD, np.where(water, Reason.WATER, Reason.DRY)).astype(np.uint8)
    with_gaps = errors(water & ~hidden, doubt, reason=reason)
    without_doubt = errors(water & ~hidden, np.where(hidden, 0, doubt))
    assert with_gaps.equals(without_doubt)


def test_against_a_sum_by_distance() -> None:
    """Compared with a distance in pixels over the whole scene, for lakes with islands and narrow straits."""
    random = np.random.default_rng(3)
    water = random.random((40, 40)) < 0.15
    doubt = random.integers(0, 512, (40, 40)).astype(np.float32) / 1024
    lakes = vectorise(cut(water, 40), EVERYWHERE, 0)
    found = area_errors(cut(water, 8, uncertainty=doubt), lakes)
    west, north = reproject(lakes.geometry.union_all(), WGS84, 32643).bounds[::3]
    rows, cols = np.nonzero(water)
    middles = shapely.points(
        west + 10 * (np.arange(40) - cols.min()) + 5,
        north - 10 * (np.arange(40)[:, None] - rows.min()) - 5,
    )
    for outline, model in zip(lakes.geometry, found.model_m2, strict=True):
        inside = np.argwhere(shapely.covers(reproject(outline, WGS84, 32643), middles))
        apart = np.abs(np.indices(water.shape)[:, None] - inside.T[:, :, None, None]).max(axis=0).min(axis=0)
        assert model == pytest.approx(100 * doubt[(apart == 0) | ((apart <= 2) & ~water)].sum())


@pytest.mark.parametrize("size", [32, 48, 96])
def test_ground_on_a_zone_border_counts_once(size: int) -> None:
    """Tiles of both zones cover the whole lake; its doubt is counted once, whatever their overlap."""
    square = shapely.box(77.998, 42.0, 78.004, 42.003)
    maps: list[TileLayers] = []
    for tile in tiles_of(shapely.box(77.99, 41.995, 78.01, 42.008), size):
        geobox = tile.geobox()
        x, y = np.meshgrid(geobox.coords["x"].values, geobox.coords["y"].values)
        water = shapely.contains_xy(reproject(square, WGS84, tile.epsg), x, y)
        maps.append(tile_layers(tile, water, uncertainty=0.25))
    assert {one.tile.epsg for one in maps} == {32643, 32644}
    lakes = vectorise(maps, EVERYWHERE, 0)
    assert len(lakes) == 1
    height, width = 333 + 40, 497 + 40
    assert area_errors(maps, lakes).model_m2[0] == pytest.approx(0.25 * height * width, rel=0.05)


def test_empty_input() -> None:
    nothing = vectorise([], EVERYWHERE, 0)
    assert area_errors([], nothing).columns.tolist() == ["shoreline_m2", "model_m2"]
    lake = vectorise(cut(np.ones((3, 3), bool), 3), EVERYWHERE, 0)
    assert area_errors([], lake).model_m2.tolist() == [0]
    elsewhere = tile_layers(Tile(32643, 8, 0, 0), np.zeros((8, 8), bool), uncertainty=0.5)
    assert area_errors([elsewhere], lake).model_m2.tolist() == [0]


def test_the_two_terms_are_independent_and_the_factor_scales() -> None:
    assert combine(300, 400) == 500
    assert combine([300, 0], [400, 7], 2).tolist() == [1000, 14]
