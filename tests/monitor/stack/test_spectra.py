"""Validity over the bands of a scene: dark lakes, rims of scenes, lost bands, and the refusal of files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.archive.profiles import S2_BANDS
from monitor.archive.validity import ABSENT, VOID
from monitor.grid import geobox_at
from monitor.stack.spectra import EDGE, SQUARE, refusal, spectra, worst_share

SIDE = 120
LAKE = np.s_[50:80, 50:80]
WATER = np.linspace(900, 50, 12).astype(np.float32)
ROCK = np.linspace(1200, 3000, 12).astype(np.float32)


def ground() -> np.ndarray:
    """Rock with a lake in it, (12, SIDE, SIDE)."""
    coded = np.broadcast_to(ROCK[:, None, None], (12, SIDE, SIDE)).copy()
    coded[:, *LAKE] = WATER[:, None, None]
    return coded


@pytest.mark.parametrize("offset", [0.0, -1000.0])
@pytest.mark.parametrize("bands", [("B12",), ("B09",), ("B01",), ("B11", "B12"), ("B09", "B11", "B12")])
def test_zero_in_some_bands_of_a_dark_lake_is_a_value(bands: tuple[str, ...], offset: float) -> None:
    coded = ground()
    for band in bands:
        coded[S2_BANDS.index(band), *LAKE] = ABSENT
    found = spectra(coded, offset)
    assert np.isfinite(found.values).all() and not (found.impossible | found.missing).any()
    for number, band in enumerate(S2_BANDS):
        expected = 0 if band in bands else WATER[number]
        assert (found.values[number][LAKE] == np.float32(expected)).all()


def test_negative_reflectance_is_zero() -> None:
    coded = ground()
    coded[11, *LAKE] = -990.0
    assert (spectra(coded, -1000.0).values[11][LAKE] == 0).all()


def test_zero_beside_bright_bands_is_lost_data() -> None:
    coded = ground()
    coded[11, :40, :40] = ABSENT
    found = spectra(coded, 0.0)
    lost = np.zeros((SIDE, SIDE), bool)
    lost[:40, :40] = True
    assert np.array_equal(np.isnan(found.values).all(axis=0), lost)
    assert np.array_equal(found.missing[11], lost) and not found.missing[:11].any()


def test_bands_that_end_at_different_columns_have_a_rim_without_data() -> None:
    coded = ground()
    coded[:, :, :20] = ABSENT
    coded[11, :, :32] = ABSENT
    coded[:11, :, 20:32] = WATER[:11, None, None]
    found = spectra(coded, 0.0)
    assert np.isnan(found.values[:, :, :32]).all() and np.isfinite(found.values[:, :, 32:]).all()
    assert not (found.impossible | found.missing).any(), "a rim is no fault of the file"


def test_bands_without_data_where_the_scene_classes_have_data() -> None:
    coded = np.full((12, SIDE, SIDE), ABSENT)
    found = spectra(coded, 0.0, np.zeros((SIDE, SIDE), bool))
    assert np.isnan(found.values).all() and found.missing.all()
    assert not spectra(coded, 0.0, np.ones((SIDE, SIDE), bool)).missing.any()
    assert not spectra(coded, 0.0).missing.any()


def test_no_data_by_the_scene_classes_is_an_edge_too() -> None:
    coded = ground()
    coded[11, *LAKE] = ABSENT
    no_data = np.zeros((SIDE, SIDE), bool)
    no_data[:, :45] = True
    found = spectra(coded, 0.0, no_data)
    assert np.isnan(found.values[:, 60, 55]).all()


@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_a_rim_of_ones_has_no_data(offset: float) -> None:
    coded = ground()
    coded[:, :10] = 1 + offset
    coded[:, 10] = (coded[:, 9] + coded[:, 11]) / 2  # as interpolation mixes them
    found = spectra(coded, offset)
    assert np.isnan(found.values[:, :11]).all() and np.isfinite(found.values[:, 25:]).all()
    lone = ground()
    lone[11, *LAKE] = 1 + offset
    assert np.isfinite(spectra(lone, offset).values).all(), "a one in a single band is a value"


def test_impossible_numbers_are_not_used() -> None:
    coded = ground()
    coded[3, 90:, 90:] = VOID
    found = spectra(coded, 0.0)
    assert np.isnan(found.values[:, 90:, 90:]).all() and np.isfinite(found.values[:, :90]).all()
    assert found.impossible[3, 90:, 90:].all() and found.impossible.sum() == 900


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_pixel_has_part_of_a_spectrum(data: st.DataObject) -> None:
    """Whatever codes a pixel has: all bands are numbers of at least zero, or none is."""
    coded = ground()[:, :40, :40].copy()
    for _ in range(data.draw(st.integers(0, 5))):
        top, left = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 39))
        band = data.draw(st.one_of(st.integers(0, 11), st.just(slice(None))))
        code = data.draw(st.sampled_from([ABSENT, VOID, np.nan, 1.0, -3.0, 29_000.0]))
        coded[band, top : top + 15, left : left + 15] = code
    values = spectra(coded, 0.0).values
    finite = np.isfinite(values)
    assert np.array_equal(finite.all(axis=0), finite.any(axis=0))
    assert (values[finite] >= 0).all() and not np.isinf(values).any()
    own = np.isfinite(coded).all(axis=0)
    kept = finite.all(axis=0)
    assert np.array_equal(values[:, own & kept], np.maximum(coded, 0)[:, own & kept])


@settings(max_examples=25, deadline=None)
@given(top=st.integers(0, 60), left=st.integers(0, 60))
def test_spectra_do_not_depend_on_the_window(top: int, left: int) -> None:
    rng = np.random.default_rng(top * 61 + left)
    side = 4 * EDGE
    coded = np.broadcast_to(WATER[:, None, None], (12, side + 60, side + 60)).copy()
    for _ in range(4):
        row, col = rng.integers(0, side, 2)
        coded[rng.integers(12), row : row + 30, col : col + 9] = rng.choice([ABSENT, VOID])
    coded[:, : rng.integers(1, 20)] = rng.choice([ABSENT, 1])
    whole = spectra(coded, 0.0).values
    part = spectra(coded[:, top : top + side, left : left + side].copy(), 0.0).values
    inner = slice(EDGE, side - EDGE)
    wanted = whole[:, top : top + side, left : left + side][:, inner, inner]
    assert np.array_equal(part[:, inner, inner], wanted, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(size=st.sampled_from([256, 512, 1024]), seed=st.integers(0, 20))
def test_the_share_of_faulty_numbers_does_not_depend_on_the_tiling(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flags = np.zeros((1024, 1024), bool)
    row, col = rng.integers(0, 900, 2)
    flags[row : row + rng.integers(1, 300), col : col + rng.integers(1, 300)] = True
    margin = 32
    padded = np.pad(flags, margin)
    core = (slice(margin, margin + size), slice(margin, margin + size))
    shares = []
    for top in range(0, 1024, size):
        for left in range(0, 1024, size):
            side = size + 2 * margin
            box = geobox_at(32643, 517 * 1024 + top - margin, 49 * 1024 + left - margin, (side, side))
            part = padded[top : top + size + 2 * margin, left : left + size + 2 * margin]
            shares.append(worst_share(part, box, core))
    squares = flags.reshape(4, SQUARE, 4, SQUARE).mean(axis=(1, 3))
    assert max(shares) == squares.max()


def test_a_file_is_refused_by_name_beyond_a_share() -> None:
    files = [("B02", "/a/B02.tif"), ("B03", "/a/B03.tif")]
    assert refusal("item", files, [0.2, 0.0], 0.2, "it is wrong") is None
    error = refusal("item", files, [0.3, 0.5], 0.2, "it is wrong")
    assert error is not None and (error.item, error.asset, error.href) == ("item", "B03", "/a/B03.tif")
    assert str(error) == (
        "item: asset B03 at /a/B03.tif is refused: in 50% of a square of 2.6 km it is wrong"
    )
    assert type(error).tells(str(error), "item", "B03", "/a/B03.tif")
    assert not type(error).tells("item: asset B03 at /a/B03.tif cannot be read", "item", "B03", "/a/B03.tif")
