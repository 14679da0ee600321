"""Loading files onto a box: agreement with GDAL's warper, independence of the box, overviews, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject
from rasterio.crs import CRS

from monitor.archive.decoding import Native
from monitor.archive.resampling import bilinear, nearest, places
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import geobox_at
from monitor.stack.filters import lee
from tests.support.rasters import (
    BOX,
    COL,
    EPSG,
    GRIDS,
    LEFT,
    PARALLEL,
    PROFILE,
    ROW,
    TOP,
    around,
    bands,
    classes,
    numbers,
    read,
    scene,
    write,
)
from tests.support.samples import sample


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("name", PARALLEL)
def test_as_gdal_warps_parallel_grids(name: str, holes: float) -> None:
    epsg, transform, shape = GRIDS[name]
    values = numbers(shape, holes).astype(np.float32)
    values[values == 0] = np.nan
    rows, cols = places(BOX, CRS.from_epsg(epsg).to_wkt(), transform, shape[1])
    for sampled, method in (
        (bilinear(values, rows, cols), "bilinear"),
        (nearest(values, rows, cols, np.nan), "nearest"),
    ):
        warped = np.full(BOX.shape, np.nan, np.float32)
        source = GeoBox(shape, transform, f"EPSG:{epsg}")
        rio_reproject(values, warped, source, BOX, method, np.nan, np.nan, tolerance=0)
        assert np.isfinite(warped).mean() > 0.1
        np.testing.assert_allclose(sampled, warped, atol=5e-3, rtol=0, err_msg=method)


@pytest.mark.parametrize("pixel", [10, 160])
@pytest.mark.parametrize("epsg", [EPSG + 1, EPSG - 1, 4326])
def test_positions_are_those_of_proj(epsg: int, pixel: int) -> None:
    """Between the points of the lattice too, to a ten-thousandth of a pixel."""
    box = GeoBox((300, 300), Affine(pixel, 0, LEFT, 0, -pixel, TOP), f"EPSG:{EPSG}")
    _, transform, _ = around(epsg, 10 if epsg != 4326 else 1 / 3600, 100)
    rows, cols = places(box, CRS.from_epsg(epsg).to_wkt(), transform, 100)
    x, y = np.meshgrid(LEFT + (np.arange(300) + 0.5) * pixel, TOP - (np.arange(300) + 0.5) * pixel)
    moved = pyproj.Transformer.from_crs(EPSG, epsg, always_xy=True).transform(x, y)
    exact_cols, exact_rows = ~transform @ moved
    assert max(np.abs(rows - exact_rows).max(), np.abs(cols - exact_cols).max()) < 1e-4 * pixel


@pytest.mark.parametrize("name", GRIDS)
def test_values_do_not_depend_on_the_box(name: str, tmp_path: Path) -> None:
    """A part of the box, and a larger box: floats, classes and filtered values."""
    grid = GRIDS[name]
    item = scene(write(tmp_path / "a.tif", grid, numbers(grid[2], 0.05)))
    wider = geobox_at(EPSG, ROW - 37, COL - 53, (300, 301))
    part = geobox_at(EPSG, ROW + 41, COL + 29, (77, 90))
    for kind in (bands(), classes(), bands(native=Native(lee, 2))):
        whole, of_wider, of_part = (read(item, kind, PROFILE, box)["band"] for box in (BOX, wider, part))
        chunked = read(item, kind, PROFILE, BOX, chunks={"y": 61, "x": 83})["band"]
        assert np.array_equal(chunked, whole, equal_nan=True), "Dask chunks give identical values"
        assert np.array_equal(of_wider[37:237, 53:213], whole, equal_nan=True)
        assert np.array_equal(whole[41:118, 29:119], of_part, equal_nan=True)
        seen = np.isfinite(whole) if whole.dtype.kind == "f" else whole != 0
        assert 0.4 < seen.mean() < 1 and len(np.unique(whole[seen])) > 100


def test_coinciding_grids_are_copied(tmp_path: Path) -> None:
    grid = GRIDS["same pixels"]
    transform, values = grid[1], numbers(grid[2])
    found = read(scene(write(tmp_path / "a.tif", grid, values)), bands(), PROFILE, BOX)["band"]
    row, col = round((transform.f - TOP) / 10), round((LEFT - transform.c) / 10)
    assert np.array_equal(found, values[row : row + 200, col : col + 160])


def test_tilted_grid(tmp_path: Path) -> None:
    """A file that is not north-up: a plane of eastings is read as eastings."""
    transform = Affine.translation(LEFT - 2000, TOP + 1000) @ Affine.rotation(20) @ Affine.scale(10, -10)
    rows, cols = np.mgrid[:600, :600] + 0.5
    east, _ = transform @ (cols, rows)
    grid = (EPSG, transform, (600, 600))
    path = write(tmp_path / "a.tif", grid, (east - LEFT).astype(np.float32), nodata=-1e6)
    found = read(scene(path), bands(nodata=-1e6), PROFILE, BOX)["band"]
    assert np.abs(found - (np.arange(160) + 0.5) * 10).max() < 0.05


def test_no_data_does_not_change_its_neighbours(tmp_path: Path) -> None:
    grid = GRIDS["20 m"]
    values = np.full(grid[2], 1000, np.uint16)
    values[:, ::7] = 0
    found = read(scene(write(tmp_path / "a.tif", grid, values)), bands(), PROFILE, BOX)["band"]
    assert set(np.unique(found[np.isfinite(found)])) == {1000}
    assert np.isnan(found).mean() == pytest.approx(1 / 7, abs=0.02)


def test_no_data_of_the_file_if_the_profile_has_none(tmp_path: Path) -> None:
    grid = GRIDS["degrees"]
    heights = np.full(grid[2], 5000, np.float32)
    heights[:, :80] = -32767
    item = scene(write(tmp_path / "a.tif", grid, heights, nodata=-32767))
    found = read(item, bands(nodata=None), PROFILE, BOX)["band"]
    assert set(np.unique(found[np.isfinite(found)])) == {5000} and 0.3 < np.isnan(found).mean() < 0.7


def test_a_coarse_box_reads_the_overview(tmp_path: Path) -> None:
    """160 m from 20 m classes: nearest pixels of the overview of factor 8. A finer box reads the file."""
    grid = around(EPSG, 20, 1024)
    values = numbers(grid[2])
    path = write(tmp_path / "a.tif", grid, values, overviews="AUTO", overview_resampling="NEAREST")
    with rasterio.open(path, overview_level=2) as file:
        overview, transform = file.read(1), file.transform
    assert overview.shape == (128, 128)
    box = GeoBox((128, 128), transform, f"EPSG:{EPSG}")
    assert np.array_equal(read(scene(path), classes(), PROFILE, box)["band"], overview)
    same = GeoBox((1024, 1024), grid[1], f"EPSG:{EPSG}")
    assert np.array_equal(read(scene(path), classes(), PROFILE, same)["band"], values)


def test_bands_of_one_file(tmp_path: Path) -> None:
    grid = GRIDS["same pixels"]
    values = np.stack([numbers(grid[2], seed=seed) for seed in range(3)])
    item = scene(write(tmp_path / "a.tif", grid, values), b=write(tmp_path / "b.tif", grid, values[0]))
    found = read(item, {"keys": {"third": "a.3", "one": "b", "first": "a.1"}, "nodata": 0}, PROFILE, BOX)
    assert list(found) == ["third", "one", "first"]
    assert np.array_equal(found["one"], found["first"]) and not np.array_equal(found["one"], found["third"])


def test_real_jpeg_2000_scene_with_the_suffix_tif() -> None:
    """JPEG 2000 with its georeference in a separate file, 120 m. The item declares 10 m."""
    path = sample("stac/rasters/s2_static_catalog/sentinel-2-l2a/S2A_33TWM_20230815_0_L2A/B04.tif")
    with rasterio.open(path) as file:
        values, transform, bounds = file.read(1), file.transform, file.bounds
    assert transform.a == 120
    box = GeoBox((300, 200), transform @ Affine.translation(100, 150), "EPSG:32633")
    ground = GeoBox(values.shape, transform, "EPSG:32633").geographic_extent.geom
    found = read(scene(path, ground), bands(), PROFILE, box)["band"]
    expected = values[150:450, 100:300].astype(np.float32)
    assert np.array_equal(found, np.where(expected == 0, np.nan, expected), equal_nan=True)
    assert bounds.left % 10 == 0 and np.isfinite(found).mean() > 0.5


def fails(item: Scene, kind: dict[str, Any] | None = None) -> str:
    with pytest.raises(AssetError) as caught:
        read(item, kind or bands(), PROFILE, BOX)
    assert (caught.value.item, caught.value.asset) == ("item", "a")
    assert caught.value.href == item.item["assets"]["a"]["href"]
    return caught.value.cause


def test_radar_geometry_is_refused() -> None:
    cause = fails(scene(sample("stac/rasters/riotiler_cog_gcps.tif")))
    assert "no coordinate reference system, only 210 ground control points" in cause


def test_file_outside_its_items_footprint_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GRIDS["same pixels"], numbers((400, 400)))
    assert "outside its item's footprint" in fails(scene(path, shapely.box(60, 10, 61, 11)))


def test_unexpected_data_types_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GRIDS["same pixels"], numbers((400, 400)))
    assert "its numbers are uint16, int16 was expected" in fails(scene(path), bands(data_type="int16"))
    assert "uint8 cannot hold" in fails(scene(path), bands(resampling="nearest", dtype="uint8"))
    assert "band 2 is needed, but it has 1" in fails(scene(path), {"keys": {"band": "a.2"}, "nodata": 0})
    assert read(scene(path), bands(data_type="uint16"), PROFILE, BOX)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6])
def test_truncated_file_is_refused(part: float, tmp_path: Path) -> None:
    """Uncompressed files too, where absent bytes could be read as zeros."""
    grid = GRIDS["10 m, shifted"]
    path = write(tmp_path / "a.tif", grid, numbers(grid[2]), compress="NONE")
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))
    assert fails(scene(path))


def test_outside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GRIDS["next zone"], numbers((500, 500)))
    far = geobox_at(EPSG, ROW + 5000, COL, (40, 50))
    assert np.isnan(read(scene(path), bands(), PROFILE, far)["band"]).all()
    assert (read(scene(path), classes(), PROFILE, far)["band"] == 0).all()


def test_the_first_of_several_faults_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GRIDS["same pixels"], numbers((400, 400)))
    shutil.copy(path, tmp_path / "b.tif")
    item = scene(path, b="/nowhere/b.tif", c="/nowhere/c.tif")
    with pytest.raises(AssetError, match=r"item: asset b at /nowhere/b\.tif cannot be read: .*No such file"):
        read(item, {"keys": {"a": "a", "b": "b", "c": "c"}, "nodata": 0}, PROFILE, BOX)


@pytest.mark.parametrize(
    "environment",
    [
        {"GTIFF_POINT_GEO_IGNORE": "TRUE"},
        {"GDAL_NUM_THREADS": "ALL_CPUS", "GDAL_PAM_ENABLED": "NO", "GDAL_CACHEMAX": "1"},
    ],
)
def test_options_of_the_users_environment_change_no_pixel(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that ignores that coordinates are those of pixel centres, as in the Copernicus DEM."""
    _, transform, (height, width) = around(EPSG, 10, 100)
    form = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint16", "crs": EPSG}
    path = tmp_path / "point.tif"
    with rasterio.open(path, "w", **form, transform=transform) as file:
        file.update_tags(AREA_OR_POINT="Point")
        file.write(numbers((height, width))[np.newaxis])
    expected = read(scene(path), bands(), PROFILE, BOX)["band"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert np.array_equal(read(scene(path), bands(), PROFILE, BOX)["band"], expected, equal_nan=True)
