"""Validity of a file's own pixels: masks, no-data and fill values, tags, and the range of possible values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from monitor.archive.decoding import Native
from monitor.archive.load import load_bands, load_classes, load_elevation, load_optical
from monitor.archive.profiles import S2_BANDS, CatalogProfile
from monitor.archive.resampling import bilinear, nearest
from monitor.archive.validity import (
    ABSENT,
    CLASSES,
    DECIBEL,
    HEIGHT,
    HOLE_REACH,
    NUMBERS,
    POWER,
    VOID,
    Quantity,
    coded_values,
    fill_zero_holes,
    reflectance,
)
from monitor.errors import ContentRefusedError
from monitor.grid import geobox_at
from tests.support.listings import PC
from tests.support.rasters import BOX, COL, EPSG, GRIDS, PROFILE, ROW, read, scene, write

GRID = GRIDS["degrees"]
#: creation options of a TIFF that can be edited
TIFF = {"driver": "GTiff", "tiled": True, "blocksize": None, "blockxsize": 128, "blockysize": 128}
HOLE = np.s_[70:90, 70:90]
FILLS = {
    "int16": [-9999, -32768, -32767, 32767],
    "float32": [-9999, -32767, np.nan, -np.inf, np.inf, 3.4e38, -3.4028234663852886e38, 9999, -99999],
    "float64": [-1.7976931348623157e308, np.nan, -32768, 1e6],
}


def heights(
    path: Path,
    values: np.ndarray,
    mask: np.ndarray | None = None,
    tags: tuple[float, float] = (1.0, 0.0),
    **options: Any,
) -> np.ndarray:
    """Elevation (H, W) on the box, of a file of `values`."""
    write(path, GRID, values, **TIFF | {"nodata": None} | options)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [tags[0]], [tags[1]]
        if mask is not None:
            file.write_mask(mask)
    item = scene(path, data=path)
    return load_elevation([item], PC, BOX, coded=True).to_numpy()


def plain(dtype: str = "float32") -> np.ndarray:
    rows, cols = np.mgrid[: GRID[2][0], : GRID[2][1]]
    return (4000 + 3 * rows + 2 * cols).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "fill"), [(dtype, fill) for dtype, fills in FILLS.items() for fill in fills]
)
def test_a_hole_in_a_dem_is_a_hole_whatever_fills_it(dtype: str, fill: float, tmp_path: Path) -> None:
    """No height is mixed with a fill value: each one is that of the file without the hole, or missing."""
    whole = heights(tmp_path / "whole.tif", plain(dtype))
    values = plain(dtype)
    values[HOLE] = fill
    found = heights(tmp_path / "hole.tif", values)
    known = np.isfinite(found)
    assert 0.05 < (~known).mean() < 0.5
    # beside the hole the mean of the neighbours with data differs from the mean of all by part of a slope
    assert np.abs(found[known] - whole[known]).max() <= 5
    assert np.isinf(found[~known]).all(), "a hole is not a gap between tiles"


def test_every_way_to_mark_a_hole_gives_the_same_pixels(tmp_path: Path) -> None:
    values, mask = plain(), np.full(GRID[2], 255, np.uint8)
    mask[HOLE] = 0
    expected = plain()
    expected[HOLE] = np.nan
    expected = np.isfinite(heights(tmp_path / "nan.tif", expected))
    for number, (fill, options) in enumerate(
        [(0, {"mask": mask}), (4321, {"mask": mask}), (-1, {"nodata": -1}), (0, {}), (-9999, {"nodata": 0})]
    ):
        values[HOLE] = fill
        found = heights(tmp_path / f"{number}.tif", values, **options)
        assert np.array_equal(np.isfinite(found), expected), (fill, options)


def test_an_alpha_band_is_a_mask(tmp_path: Path) -> None:
    values = np.stack([np.full((400, 400), 700, np.uint16), np.full((400, 400), 65535, np.uint16)])
    values[1, :, 200:] = 0
    path = tmp_path / "a.tif"
    write(path, GRIDS["same pixels"], values, **TIFF | {"nodata": None})
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    found = read(scene(path), {"keys": {"band": "a.1"}}, PROFILE, BOX)["band"]
    seen = np.isfinite(found)
    assert set(np.unique(found[seen])) == {700} and 0.3 < seen.mean() < 0.7


def test_scale_and_offset_tags_give_heights(tmp_path: Path) -> None:
    """Decimetres below 1000 m, in 16 bits."""
    values = ((plain() - 1000) * 10).astype(np.uint16)
    found = heights(tmp_path / "a.tif", values, tags=(0.1, 1000.0))
    assert np.abs(found - heights(tmp_path / "b.tif", plain())).max() < 0.1


def test_the_sea_has_a_height_and_a_hole_of_zeros_has_none() -> None:
    slope = np.tile(np.maximum(np.arange(200, dtype=np.float32) - 100, 0), (60, 1))
    assert np.isfinite(fill_zero_holes(slope)).all(), "a coast"
    ground = np.full((120, 120), 4000, np.float32)
    ground[20:60, 30:80] = 0
    ground[:, :5] = 0
    found = fill_zero_holes(ground)
    assert np.array_equal(np.isnan(found), ground == 0), "a hole, and a rim of zeros"


@settings(max_examples=50, deadline=None)
@given(
    shift=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    hole=st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_a_hole_of_zeros_is_the_same_in_every_window(shift: tuple[int, int], hole: tuple[int, int]) -> None:
    ground = np.full((260, 260), 3000, np.float32)
    ground[130 - hole[0] : 130, 130 : 130 + hole[1]] = 0
    whole = fill_zero_holes(ground)
    window = np.s_[shift[0] : shift[0] + 180, shift[1] : shift[1] + 180]
    margin = HOLE_REACH + 1
    inner = np.s_[margin:-margin, margin:-margin]
    assert np.array_equal(fill_zero_holes(ground[window])[inner], whole[window][inner], equal_nan=True)


QUANTITIES = [NUMBERS, CLASSES, HEIGHT, POWER, DECIBEL, reflectance(0), reflectance(-1000)]
ANY_NUMBER = st.one_of(
    st.floats(width=32),
    st.sampled_from(
        [0.0, 1.0, -9999.0, -32768.0, -32767.0, 65535.0, 64500.0, 9000.0, 9001.0, -500.0, 3.4e38]
    ),
)


@settings(max_examples=50, deadline=None)
@given(
    quantity=st.sampled_from(QUANTITIES),
    numbers=st.lists(ANY_NUMBER, min_size=1, max_size=30),
    missing=st.lists(ANY_NUMBER, max_size=2),
    masked=st.data(),
)
def test_a_value_is_possible_or_it_has_a_code(
    quantity: Quantity, numbers: list[float], missing: list[float], masked: st.DataObject
) -> None:
    band = np.array([numbers], np.float32)
    mask = np.array([masked.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))])
    found = coded_values(band, missing, quantity, mask=mask)
    for number, has_data, value in zip(band[0], mask[0], found[0], strict=True):
        declared = any(number == np.float32(fill) for fill in (*missing, *quantity.fills))
        possible = np.isfinite(number) and quantity.lowest <= number <= quantity.highest
        if not has_data:
            assert np.isnan(value)
        elif declared or np.isnan(number):
            assert value == ABSENT
        elif not possible or abs(number) >= 1e30:
            assert value in (ABSENT, VOID)
        else:
            assert value == number


@settings(max_examples=50, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    offset=st.sampled_from([0.0, -1000.0]),
    number=st.integers(0, 65535),
)
def test_reflectance_is_possible_or_void(dtype: str, offset: float, number: int) -> None:
    if dtype in ("uint8", "int16"):
        number %= 128
    (value,) = coded_values(np.array([[number]], dtype), [0], reflectance(offset))[0]
    if number == 0:
        assert value == ABSENT
    elif number + offset <= 30_000:
        assert value == number
    else:
        assert value == VOID


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([1.0, 2.0, 5.0, np.nan, -np.inf, np.inf]), min_size=16, max_size=16),
    st.tuples(st.floats(0, 4), st.floats(0, 4)),
)
def test_interpolation_keeps_codes_and_mixes_none(values: list[float], at: tuple[float, float]) -> None:
    """A code is that of the pixel itself; a number lies between the numbers around it."""
    grid = np.array(values, np.float32).reshape(4, 4)
    rows, cols = np.array([[at[0]]]), np.array([[at[1]]])
    own, (found,) = nearest(grid, rows, cols, np.nan)[0, 0], bilinear(grid, rows, cols)[0]
    if np.isfinite(own):
        around = grid[np.isfinite(grid)]
        assert around.min() - 1e-5 <= found <= around.max() + 1e-5
    else:
        assert np.array_equal(found, own, equal_nan=True)


def optical(
    path: Path, offset: float, tags: tuple[float, float] = (1.0, 0.0), profile: CatalogProfile = PC
) -> np.ndarray:
    """Reflectance on the box of numbers of 3000, in a file with scale and offset tags."""
    write(path, GRIDS["same pixels"], np.full((400, 400), 3000, np.uint16), **TIFF)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [tags[0]], [tags[1]]
    item = replace(scene(path, **dict.fromkeys(S2_BANDS, path)), offset=offset)
    return load_optical(item, profile, BOX, ["B03"])["B03"].to_numpy()


@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_tags_that_repeat_the_items_offset_are_not_applied_again(offset: float, tmp_path: Path) -> None:
    for tags in ((1.0, 0.0), (1e-4, offset * 1e-4), (1.0, offset)):
        assert (optical(tmp_path / "a.tif", offset, tags) == 3000 + offset).all()


@pytest.mark.parametrize("tags", [(1e-4, 0.0), (2e-5, 0.0), (1.0, -0.1)])
def test_tags_against_the_item_are_refused(tags: tuple[float, float], tmp_path: Path) -> None:
    with pytest.raises(ContentRefusedError, match=r"tags are .*its item says 0\.0001 and -0\.1"):
        optical(tmp_path / "a.tif", -1000.0, tags)


def test_tags_of_a_catalogue_with_flags_are_not_believed(tmp_path: Path) -> None:
    """Corrected scenes of Earth Search keep the tags of the uncorrected ones."""
    flagged = PC.optical.model_copy(update={"offset": "flag", "flag": "corrected"})
    profile = PC.model_copy(update={"optical": flagged})
    assert (optical(tmp_path / "a.tif", 0.0, (1e-4, -0.1), profile) == 3000).all()


def test_classes_that_do_not_exist_are_no_data(tmp_path: Path) -> None:
    values = np.tile(np.arange(16, dtype=np.uint8), (400, 25))
    path = write(tmp_path / "a.tif", GRIDS["same pixels"], values, **TIFF | {"nodata": 6})
    found = load_classes(scene(path, SCL=path), PC, BOX).to_numpy()
    assert set(np.unique(found)) == set(range(12)) - {6}, "6 is the file's own no-data value"


def test_codes_do_not_depend_on_the_box(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, grid in GRIDS.items():
        values = rng.integers(1, 3001, grid[2]).astype(np.float32)
        values[rng.random(grid[2]) < 0.03] = 0
        values[rng.random(grid[2]) < 0.03] = 64500
        path = write(tmp_path / f"{name}.tif", grid, values)
        wider, part = (
            geobox_at(EPSG, ROW - 37, COL - 53, (300, 301)),
            geobox_at(EPSG, ROW + 41, COL, (77, 90)),
        )
        options = {"quantity": reflectance(0), "coded": True, "native": Native(smooth, 1)}
        whole, of_wider, of_part = (
            load_bands([scene(path)], {"a": "a"}, PROFILE, box, **options)["a"].to_numpy()
            for box in (BOX, wider, part)
        )
        assert np.array_equal(of_wider[37:237, 53:213], whole, equal_nan=True)
        assert np.array_equal(whole[41:118, :90], of_part, equal_nan=True)
        assert {ABSENT, VOID} <= set(np.unique(whole)) and np.isfinite(whole).mean() > 0.4


def smooth(values: np.ndarray) -> np.ndarray:
    """A filter that uses the pixel above."""
    moved = np.roll(values, 1, axis=0)
    return np.where(np.isfinite(moved), (values + moved) / 2, values)


def test_several_dems_complete_one_another(tmp_path: Path) -> None:
    """A hole in the first is filled from the second; where both have holes it is a hole."""
    paths = []
    for name, left in (("a", 40), ("b", 60)):
        values = plain()
        values[60:100, left : left + 40] = -32767
        paths.append(write(tmp_path / f"{name}.tif", GRID, values, nodata=None))
    one, two = (scene(path, data=path) for path in paths)
    both = load_elevation([one, two], PC, BOX, coded=True).to_numpy()
    alone = [load_elevation([item], PC, BOX, coded=True).to_numpy() for item in (one, two)]
    assert np.array_equal(np.isfinite(both), np.isfinite(alone[0]) | np.isfinite(alone[1]))
    assert np.isinf(both).any()
