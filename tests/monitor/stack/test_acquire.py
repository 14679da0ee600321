"""Stacks of real TerraMesh tiles and of a small simulated archive: a pixel has one value in every tile."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr

from monitor.archive.catalog import FolderCatalog
from monitor.archive.freeze import freeze
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import SceneList
from monitor.archive.sky import CLOUDS
from monitor.errors import AssetError
from monitor.grid import NORTHING_ORIGIN, Tile, tiles_of
from monitor.settings import SeasonWindow
from monitor.stack.acquire import acquire
from monitor.stack.composite import masked
from tests.support.listings import PC, region, season, tile_of
from tests.support.samples import TERRAMESH_PROFILE, sample, save, wrap
from tests.support.stacks import optical, radar

TERRAMESH = CatalogProfile.model_validate(TERRAMESH_PROFILE).serving("rtc")
#: tile: date, declared offset, and the expected means of its stack: B03, B08, VV, VH, elevation
REAL = {
    "282D_485L_3_3": (date(2021, 7, 21), 0.0),
    "433D_629L_3_1": (date(2020, 4, 11), -0.1),
    "637U_59R_1_3": (date(2017, 10, 30), 0.0),
}


def real_tile(name: str, folder: Path) -> tuple[SceneList, shapely.Geometry]:
    """The tile's three files as items in a folder, frozen."""
    day, offset = REAL[name]
    when = datetime(day.year, day.month, day.day, 14, tzinfo=UTC)
    for collection, kind, bands in (
        ("s2", "S2L2A", [{"scale": 1e-4, "offset": offset}] * 12),
        ("s1", "S1RTC", [{"nodata": -9999}] * 2),
        ("dem", "DEM", [{}]),
    ):
        item = wrap(sample(f"terramesh/{kind}/{name}.tif"), f"{collection}-{name}", collection, when, bands)
        save(item, folder)
    area = shapely.box(*item.bbox)
    window = SeasonWindow(start=f"{day:%m-%d}", end=f"{day:%m-%d}")
    return freeze(FolderCatalog(folder), TERRAMESH, area, window, day.year).chosen, area


def on_the_files_pixels(name: str) -> Tile:
    """The global 256-pixel tile that holds the centre of the file."""
    with rasterio.open(sample(f"terramesh/S2L2A/{name}.tif")) as raster:
        east, north = raster.xy(112, 112)
        row, col = int((NORTHING_ORIGIN - north) // 10), int(east // 10)
        return Tile(raster.crs.to_epsg(), 256, row // 256 * 256, col // 256 * 256)


@pytest.mark.parametrize("name", REAL)
def test_real_tiles(name: str, tmp_path: Path) -> None:
    """Means of the stack and of the files: resampling changes them little, an offset changes them by 1000."""
    frozen, _ = real_tile(name, tmp_path)
    assert [len(s) for s in (frozen.optical, frozen.radar, frozen.dem)] == [1, 1, 1] and not frozen.refused
    stack = acquire(frozen, TERRAMESH, on_the_files_pixels(name), 256)
    seen = np.isfinite(optical(stack)).all(axis=0)
    files = {}
    for kind in ("S2L2A", "S1RTC", "DEM"):
        with rasterio.open(sample(f"terramesh/{kind}/{name}.tif")) as raster:
            files[kind] = raster.read().astype(float)
    assert seen.sum() == pytest.approx(224 * 224, rel=0.02)
    expected = np.maximum(files["S2L2A"] + 1e4 * REAL[name][1], 0).mean(axis=(1, 2))
    assert optical(stack)[:, seen].mean(axis=1) == pytest.approx(expected, rel=0.02, abs=5)
    power = 10 ** (files["S1RTC"] / 10)
    there = np.isfinite(radar(stack)).all(axis=0)
    assert (10 ** (radar(stack)[:, there] / 10)).mean(axis=1) == pytest.approx(
        power.mean(axis=(1, 2)), rel=0.1
    )
    assert radar(stack)[:, there].mean(axis=1) == pytest.approx(files["S1RTC"].mean(axis=(1, 2)), abs=1.5)
    assert np.nanmean(stack["dem"].to_numpy()) == pytest.approx(files["DEM"].mean(), rel=0.02, abs=0.5)
    day = REAL[name][0].timetuple().tm_yday
    assert set(np.unique(stack["day_of_year"].to_numpy())) == {0, day}
    assert np.array_equal(stack["day_of_year"].to_numpy() == day, seen)


def test_outside_the_file_is_nan(tmp_path: Path) -> None:
    frozen, _ = real_tile("433D_629L_3_1", tmp_path)
    stack = acquire(frozen, TERRAMESH, on_the_files_pixels("433D_629L_3_1"), 256)
    assert np.isnan(optical(stack)[:, 0, 0]).all() and np.isnan(radar(stack)[:, 0, 0]).all()
    assert np.isnan(stack["dem"].to_numpy()[0, 0]) and stack["day_of_year"].to_numpy()[0, 0] == 0
    assert not stack["cloud"].to_numpy().any() and not stack["shadow"].to_numpy().any()
    # white roofs: bright as snow, and there are no scene classes
    assert stack["snow"].to_numpy().sum() < 50
    assert np.nanmin(optical(stack)) >= 0


def test_real_pixels_do_not_depend_on_the_tile(tmp_path: Path) -> None:
    frozen, area = real_tile("282D_485L_3_3", tmp_path)
    tile = on_the_files_pixels("282D_485L_3_3")
    wide, narrow = acquire(frozen, TERRAMESH, tile, 130), acquire(frozen, TERRAMESH, tile, 16)
    same_stack(wide, narrow, 114)
    assert tile in tiles_of(area, 256)


def same_stack(wide: xr.Dataset, narrow: xr.Dataset, border: int) -> None:
    inner = slice(border, -border)
    same_pixels(wide.isel(y=inner, x=inner), narrow)


def same_pixels(one: xr.Dataset, other: xr.Dataset) -> None:
    """Compare values at equal coordinates, to the last bit."""
    xr.testing.assert_identical(one.drop_vars("spatial_ref"), other.drop_vars("spatial_ref"))


def only(scenes: SceneList, *which: int) -> SceneList:
    """Scene list in which every cell uses these optical scenes in this order."""
    ids = tuple(scenes.optical[index].id for index in which)
    return replace(scenes, choices=tuple(replace(choice, optical=ids) for choice in scenes.choices))


def first(scenes: SceneList, tile: Tile) -> list[str]:
    """The optical scenes of the cell that holds the tile, best first."""
    (choice,) = scenes.within(tile)
    return list(choice.optical)


def classes_of(scene, tile: Tile) -> np.ndarray:
    """Scene classes on the tile's 10 m pixels, read without the product's own code."""
    with rasterio.open(scene.item["assets"]["SCL"]["href"]) as raster:
        window = raster.window(*tile.geobox().boundingbox.bbox)
        shape = (tile.size, tile.size)
        return raster.read(1, window=window, out_shape=shape, boundless=True, fill_value=0)


def test_the_region_is_one_tile(small_archive: Path) -> None:
    assert len(tiles_of(region(small_archive), 512)) == 1
    assert len(tiles_of(region(small_archive), 256)) == 4


def test_baselines_agree_in_reflectance(small_archive: Path) -> None:
    """Digital numbers of the two conventions differ by 1000; the reflectance of the same ground does not."""
    tile = tile_of(small_archive)
    lists = [season(small_archive, year) for year in (2021, 2022, 2023)]
    (olds, i), (news, j) = (
        next((scenes, i) for scenes in lists for i, s in enumerate(scenes.optical) if accept(s))
        for accept in (lambda s: s.baseline < "04.00", lambda s: s.baseline >= "04.00")
    )
    old, new = olds.optical[i], news.optical[j]
    assert (old.offset, new.offset) == (0, -1000)
    stacks = [acquire(only(scenes, index), PC, tile, 0) for scenes, index in ((olds, i), (news, j))]
    clear = np.logical_and(*(np.isfinite(optical(stack)).all(axis=0) for stack in stacks))
    for stack in stacks:
        clear &= ~stack["snow"].to_numpy() & ~stack["shadow"].to_numpy()
    assert clear.mean() > 0.1
    medians = [np.median(optical(stack)[:, clear], axis=1) for stack in stacks]
    assert np.abs(medians[0] - medians[1]).max() < 400
    raw = []
    for scene in (old, new):
        with rasterio.open(scene.item["assets"]["B08"]["href"]) as raster:
            raw.append(np.median(raster.read(1)))
    assert raw[1] - raw[0] > 500, "the archive holds both conventions"


@pytest.mark.parametrize("year", [2021, 2022, 2023])
def test_composite(small_archive: Path, year: int) -> None:
    """Each pixel is clear on its date; one that is cloudy on every date has no value, or is bright ground."""
    tile, scenes = tile_of(small_archive), season(small_archive, year)
    stack = acquire(scenes, PC, tile, 0)
    assert optical(stack).shape == (12, 512, 512) and radar(stack).shape == (2, 512, 512)
    days = {scene.day_of_year: classes_of(scene, tile) for scene in scenes.optical}
    assert set(np.unique(stack["day_of_year"].to_numpy())) <= {0, *days}
    cloudy = np.all([np.isin(classes, CLOUDS) for classes in days.values()], axis=0)
    for day, classes in days.items():
        used = stack["day_of_year"].to_numpy() == day
        assert not np.isin(classes[used & ~cloudy], (0, 1, *CLOUDS)).any()
        assert np.array_equal(stack["snow"].to_numpy() & used, (classes == 11) & used)
    seen = stack["day_of_year"].to_numpy() > 0
    assert np.array_equal(seen, np.isfinite(optical(stack)).all(axis=0))
    assert not (stack["cloud"].to_numpy() & seen).any()
    assert np.array_equal(stack["cloud"].to_numpy()[cloudy], ~seen[cloudy])


def test_clearer_date_comes_first(small_archive: Path) -> None:
    scenes = season(small_archive, 2022)
    stack = acquire(scenes, PC, tile_of(small_archive), 0)
    days = {scene.id: scene.day_of_year for scene in scenes.optical}
    share = [
        (stack["day_of_year"].to_numpy() == days[name]).mean()
        for name in first(scenes, tile_of(small_archive))
    ]
    assert share[0] == max(share) > 0.3


def test_an_open_date_is_preferred_to_a_frozen_one(small_archive: Path) -> None:
    """In any order of the dates, a pixel is frozen in the composite only if no clear date shows it open."""
    tile, scenes = tile_of(small_archive), season(small_archive, 2023)
    alone = [acquire(only(scenes, i), PC, tile, 0) for i in range(len(scenes.optical))]
    frozen = max(range(len(alone)), key=lambda i: int(alone[i]["snow"].sum()))
    assert alone[frozen]["snow"].sum() > 500
    rest = [i for i in range(len(alone)) if i != frozen]
    both = acquire(only(scenes, frozen, *rest), PC, tile, 0)
    fine = [
        (stack["day_of_year"].to_numpy() > 0) & ~stack["snow"].to_numpy() & ~stack["shadow"].to_numpy()
        for stack in alone
    ]
    thawed = alone[frozen]["snow"].to_numpy() & np.any([fine[i] for i in rest], axis=0)
    assert thawed.any()
    assert not both["snow"].to_numpy()[thawed].any()
    assert (both["day_of_year"].to_numpy()[thawed] != scenes.optical[frozen].day_of_year).all()
    assert (both["day_of_year"].to_numpy()[fine[frozen]] == scenes.optical[frozen].day_of_year).all()


def test_simulated_pixels_do_not_depend_on_the_tile(small_archive: Path) -> None:
    """With another halo, and in a quarter tile: identical to the last bit."""
    scenes, tile = season(small_archive, 2022), tile_of(small_archive)
    whole = acquire(scenes, PC, tile, 48)
    same_stack(whole, acquire(scenes, PC, tile, 0), 48)
    for quarter in (tile_of(small_archive, 256), tiles_of(region(small_archive), 256)[-1]):
        part = acquire(scenes, PC, quarter, 48)
        top, left = quarter.row - tile.row, quarter.col - tile.col
        rows, cols = slice(top, top + 256 + 96), slice(left, left + 256 + 96)
        same_pixels(part, whole.isel(y=rows, x=cols))


def test_units_of_radar_and_dem(small_archive: Path) -> None:
    stack = acquire(season(small_archive, 2022), PC, tile_of(small_archive), 0)
    assert np.isfinite(radar(stack)).mean() > 0.8
    vv, vh = np.nanmean(radar(stack), axis=(1, 2))
    assert -20 < vv < -3 and vh < vv
    assert (
        np.isfinite(stack["dem"].to_numpy()).all()
        and 1000 < stack["dem"].to_numpy().min() < stack["dem"].to_numpy().max() < 7500
    )


def test_no_scenes_is_an_empty_stack(small_archive: Path) -> None:
    stack = acquire(SceneList((), (), (), ()), PC, tile_of(small_archive, 256), 0)
    assert np.isnan(optical(stack)).all() and np.isnan(radar(stack)).all() and stack["dem"].isnull().all()
    assert not stack["day_of_year"].to_numpy().any() and not stack["cloud"].to_numpy().any()


@pytest.mark.parametrize("absent", ["optical", "radar", "dem"])
def test_without_one_sensor_the_others_are_the_same(small_archive: Path, absent: str) -> None:
    """Its bands are NaN and its flags are false. Without a DEM no terrain shadow and no layover is known."""
    scenes, tile = season(small_archive, 2022), tile_of(small_archive, 256)
    choices = scenes.choices
    if absent != "dem":
        choices = tuple(replace(choice, **{absent: ()}) for choice in choices)
    whole = acquire(scenes, PC, tile, 32)
    part = acquire(replace(scenes, **{absent: ()}, choices=choices), PC, tile, 32)
    bands = {"optical": optical, "radar": radar, "dem": lambda stack: stack["dem"].to_numpy()}
    for name, of in bands.items():
        if name == absent:
            assert np.isnan(of(part)).all() and np.isfinite(of(whole)).mean() > 0.5
        elif (name, absent) != ("optical", "dem"):
            np.testing.assert_array_equal(of(part), of(whole))
    flags = {"optical": ["day_of_year", "cloud", "snow", "shadow"], "radar": ["layover"], "dem": []}
    for name, mine in flags.items():
        for flag in mine:
            if name == absent:
                assert not part[flag].to_numpy().any()
            elif absent != "dem":
                np.testing.assert_array_equal(part[flag], whole[flag])
    if absent == "dem":  # shadow decides which date a pixel takes
        assert np.array_equal(np.isfinite(optical(part)), np.isfinite(optical(whole)))
        assert not part["layover"].to_numpy().any() and not part["shadow"].to_numpy().any()
    assert "refused" not in part.attrs


@pytest.mark.parametrize(
    ("asset", "part"), [("B08", 0.5), ("SCL", 0.3), ("vh", 0.5), ("data", 0.5), ("B02", 0.0)]
)
def test_truncated_file_is_named(small_archive: Path, tmp_path: Path, asset: str, part: float) -> None:
    scenes = season(small_archive, 2022)
    best = first(scenes, tile_of(small_archive))[0]
    optical = [scene for scene in scenes.optical if scene.id == best]
    group = {"vh": scenes.radar, "data": scenes.dem}.get(asset, optical)
    href = group[0].item["assets"][asset]["href"]
    broken = tmp_path / Path(href).name
    shutil.copy(href, broken)
    with broken.open("r+b") as file:
        file.truncate(int(broken.stat().st_size * part))
    group[0].item["assets"][asset]["href"] = str(broken)
    with pytest.raises(AssetError) as caught:
        acquire(scenes, PC, tile_of(small_archive), 0)
    error = caught.value
    assert (error.item, error.asset, error.href) == (group[0].id, asset, str(broken))


def test_absent_file_is_named(small_archive: Path) -> None:
    scenes = season(small_archive, 2022)
    for scene in scenes.optical:
        scene.item["assets"]["B11"]["href"] = "/nowhere/B11.tif"
    with pytest.raises(AssetError, match=r"asset B11 at /nowhere/B11\.tif cannot be read"):
        acquire(scenes, PC, tile_of(small_archive), 0)


def test_masked_by_hand() -> None:
    classes = np.full((100, 100), 4, np.uint8)
    classes[10, 10] = 9
    classes[10, 30] = 3
    classes[90, 90] = 3
    classes[50, 50] = 0
    classes[50, 60] = 1
    classes[50, 70] = 6
    classes[50, 80] = 11
    hidden = masked(classes)
    assert hidden[10, 10] and hidden[10, 14] and not hidden[10, 15], "a cloud grows by four pixels"
    assert hidden[10, 30] and not hidden[90, 90], (
        "shadow is masked near clouds only; elsewhere it may be a lake"
    )
    assert hidden[50, 50] and hidden[50, 60]
    assert not hidden[50, 70] and not hidden[50, 80], "water and snow are not masked"
    assert not masked(np.full((8, 8), 3, np.uint8)).any()
