"""Classes are sampled: overviews that were averaged are not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from monitor.archive.overviews import sampled
from monitor.archive.resampling import nearest, places
from monitor.archive.sky import sky_of
from tests.monitor.archive.test_jpeg2000 import write_jp2
from tests.support.rasters import EPSG, PROFILE, Grid, around, classes, read, scene, write

SAMPLED = ("NEAREST", "MODE")
AVERAGED = ("AVERAGE", "BILINEAR", "CUBIC", "GAUSS", "RMS")
#: snow, bare ground, no data, dark, vegetation, cloud; means of some of them are classes of cloud
MIXES = ((11, 5), (11, 2), (11, 0), (9, 4), (9, 5), (11, 5, 4, 3))


def mosaic(side: int, mix: tuple[int, ...], patch: float, seed: int) -> np.ndarray:
    """Classes in patches of a few pixels."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), patch)
    ranks = np.searchsorted(np.quantile(field, np.linspace(0, 1, len(mix) + 1)[1:-1]), field)
    return np.asarray(mix, np.uint8)[ranks]


def coarse(grid: Grid, factor: int) -> GeoBox:
    _, transform, (height, width) = grid
    return GeoBox((height // factor, width // factor), transform @ transform.scale(factor), f"EPSG:{EPSG}")


def in_file(values: np.ndarray, grid: Grid, box: GeoBox) -> np.ndarray:
    """The file's own pixel at each pixel of a box."""
    with_crs = rasterio.crs.CRS.from_epsg(EPSG).to_wkt()
    return nearest(values, *places(box, with_crs, grid[1], values.shape[1]), 0)


@settings(max_examples=20, deadline=None)
@given(
    side=st.integers(300, 900),
    mix=st.sampled_from(MIXES),
    patch=st.floats(0.6, 6),
    seed=st.integers(0, 2**32 - 1),
    resampling=st.sampled_from(SAMPLED + AVERAGED),
    factor=st.sampled_from([2, 4, 8]),
)
def test_only_classes_that_are_there(
    tmp_path_factory: pytest.TempPathFactory,
    side: int,
    mix: tuple[int, ...],
    patch: float,
    seed: int,
    resampling: str,
    factor: int,
) -> None:
    grid, values = around(EPSG, 20, side), mosaic(side, mix, patch, seed)
    path = tmp_path_factory.mktemp("overviews") / "classes.tif"
    write(path, grid, values, nodata=None, overviews="AUTO", overview_resampling=resampling)
    box = coarse(grid, factor)
    found = read(scene(path), classes() | {"dtype": "uint8"}, PROFILE, box)["band"]
    assert set(np.unique(found)) <= set(np.unique(values))
    if resampling in AVERAGED:
        assert np.array_equal(found, in_file(values, grid, box)), "read from the file itself"


@pytest.mark.parametrize("resampling", SAMPLED)
def test_sampled_overviews_are_used(resampling: str, tmp_path: Path) -> None:
    for side, patch in ((512, 1.0), (687, 3.0), (1024, 12.0)):
        grid, values = around(EPSG, 20, side), mosaic(side, (11, 5, 4, 3), patch, side)
        path = write(
            tmp_path / "c.tif", grid, values, nodata=None, overviews="AUTO", overview_resampling=resampling
        )
        with rasterio.open(path) as file:
            for level in range(len(file.overviews(1))):
                assert sampled(file, level, lambda at, path=path: rasterio.open(path, overview_level=at))


def test_resolutions_of_jpeg_2000_are_not_used(tmp_path: Path) -> None:
    grid, values = around(EPSG, 20, 1024), mosaic(1024, (11, 5), 1.5, 3)
    path = write_jp2(tmp_path / "c.jp2", grid, values, RESOLUTIONS=6)
    with rasterio.open(path) as file:
        assert file.overviews(1)
    box = coarse(grid, 8)
    found = read(scene(path), classes() | {"dtype": "uint8"}, PROFILE, box)["band"]
    assert np.array_equal(found, in_file(values, grid, box)) and sky_of(found).cloud == 0


def test_files_of_one_class_and_tiny_files(tmp_path: Path) -> None:
    for side in (3, 40, 600):
        grid, values = around(EPSG, 20, side), np.full((side, side), 11, np.uint8)
        path = write(tmp_path / f"{side}.tif", grid, values, nodata=None, overviews="AUTO")
        box = coarse(grid, 2)
        assert (read(scene(path), classes() | {"dtype": "uint8"}, PROFILE, box)["band"] == 11).all()
