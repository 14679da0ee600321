"""Stacks of a simulated archive with damaged files: no wrong pixel, and the same pixels in every tile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.features import rasterize

from monitor.archive.profiles import S2_BANDS
from monitor.archive.scenes import Scene, SceneList
from monitor.grid import tiles_of
from monitor.stack.acquire import acquire
from tests.support.listings import PC, region, season, tile_of
from tests.support.stacks import optical, radar

YEAR = 2022


@pytest.fixture(scope="module")
def lake(small_archive: Path) -> Any:
    """Outline of the largest lake that the best scene shows, in the CRS of the tile."""
    tile, scenes = tile_of(small_archive), season(small_archive, YEAR)
    lakes = geopandas.read_parquet(small_archive / "truth/lakes.parquet")
    lakes = lakes[(lakes.season == YEAR) & (lakes.state == "water")].to_crs(tile.epsg)
    stack = acquire(only(scenes, best(scenes)), PC, tile, 0)
    seen = np.isfinite(optical(stack)).all(axis=0)
    outlines = lakes.geometry.loc[lakes.area.sort_values(ascending=False).index]
    return next(outline for outline in outlines if seen[inside(outline, stack)].mean() > 0.9)


def inside(lake: Any, stack: xr.Dataset, buffer: float = -20) -> np.ndarray:
    return rasterize(
        [lake.buffer(buffer)], stack["dem"].shape, transform=stack.odc.geobox.affine, dtype="uint8"
    ).astype(bool)


def damage(scene: Scene, folder: Path, change: Any, *assets: str, **options: Any) -> Scene:
    """A copy of a scene with changed numbers in some of its files; `change` gets numbers and transform."""
    item = {**scene.item, "assets": {key: dict(asset) for key, asset in scene.item["assets"].items()}}
    for asset in assets:
        path = folder / f"{scene.id}-{asset}.tif"
        with rasterio.open(item["assets"][asset]["href"]) as file:
            values, facts, affine = file.read(1), file.profile, file.transform
        with rasterio.open(path, "w", **facts | {"driver": "GTiff"} | options) as file:
            file.write(change(values, affine).astype(values.dtype), 1)
        item["assets"][asset]["href"] = str(path)
    return replace(scene, item=item)


def with_scenes(scenes: SceneList, *changed: Scene) -> SceneList:
    """The list with the changed scenes in place of the originals."""
    by_id = {scene.id: scene for scene in changed}

    def swapped(group: tuple[Scene, ...]) -> tuple[Scene, ...]:
        return tuple(by_id.get(scene.id, scene) for scene in group)

    return replace(
        scenes, optical=swapped(scenes.optical), radar=swapped(scenes.radar), dem=swapped(scenes.dem)
    )


def best(scenes: SceneList) -> Scene:
    (name,) = {choice.optical[0] for choice in scenes.choices if choice.optical}
    return next(scene for scene in scenes.optical if scene.id == name)


def only(scenes: SceneList, scene: Scene) -> SceneList:
    choices = tuple(replace(choice, optical=(scene.id,)) for choice in scenes.choices)
    return replace(scenes, choices=choices)


def in_lake(lake: Any, value: int) -> Any:
    def change(values: np.ndarray, affine: Any) -> np.ndarray:
        burnt = rasterize([lake], values.shape, transform=affine, dtype="uint8").astype(bool)
        return np.where(burnt, value, values)

    return change


@pytest.mark.parametrize("band", ["B12", "B09"])
def test_zero_in_one_band_of_a_lake_is_seen(
    band: str, lake: Any, small_archive: Path, tmp_path: Path
) -> None:
    scenes = season(small_archive, YEAR)
    scene = best(scenes)
    assert scene.offset == -1000
    dark = only(with_scenes(scenes, damage(scene, tmp_path, in_lake(lake, 0), band)), scene)
    stack = acquire(dark, PC, tile_of(small_archive), 0)
    whole = acquire(only(scenes, scene), PC, tile_of(small_archive), 0)
    seen, water = np.isfinite(optical(whole)).all(axis=0), inside(lake, stack)
    assert np.isfinite(optical(stack))[:, seen].all() and "refused" not in stack.attrs
    assert (optical(stack)[S2_BANDS.index(band)][water & seen] == 0).mean() > 0.7


def test_impossible_numbers_give_way_to_another_date(small_archive: Path, tmp_path: Path) -> None:
    scenes = season(small_archive, YEAR)
    scene = best(scenes)
    wrong = damage(scene, tmp_path, lambda values, _: np.full_like(values, 64500), "B02", "B08")
    stack = acquire(with_scenes(scenes, wrong), PC, tile_of(small_archive), 0)
    assert not (stack["day_of_year"].to_numpy() == scene.day_of_year).any()
    assert np.nanmax(optical(stack)) < 20_000 and (stack["day_of_year"].to_numpy() > 0).mean() > 0.3
    (error,) = stack.attrs["refused"]
    assert (error.item, error.asset, error.href) == (scene.id, "B02", wrong.item["assets"]["B02"]["href"])


def test_a_lake_that_is_cloud_on_every_date_is_seen(lake: Any, small_archive: Path, tmp_path: Path) -> None:
    scenes = season(small_archive, YEAR)

    def turbid(values: np.ndarray, affine: Any) -> np.ndarray:
        return in_lake(lake, 9)(in_lake(lake.buffer(400), 5)(values, affine), affine)

    changed = [damage(scene, tmp_path, turbid, "SCL") for scene in scenes.optical]
    assert len(changed) >= 2
    stack = acquire(with_scenes(scenes, *changed), PC, tile_of(small_archive), 0)
    water = inside(lake, stack, 20)
    assert np.isfinite(optical(stack))[:, water].all() and not stack["cloud"].to_numpy()[water].any()
    one = only(with_scenes(scenes, *changed), changed[0])
    assert acquire(one, PC, tile_of(small_archive), 0)["cloud"].to_numpy()[inside(lake, stack)].all()


def test_noise_at_the_border_gives_way_to_another_scene(small_archive: Path, tmp_path: Path) -> None:
    scenes = season(small_archive, YEAR)
    order = next(choice.radar for choice in scenes.choices if choice.radar)
    good = next(scene for scene in scenes.radar if scene.id == order[0])

    def noisy(values: np.ndarray, _: Any) -> np.ndarray:
        return np.where(np.arange(values.shape[1]) < 100, 10**-4.4, values)

    bad = replace(damage(good, tmp_path, noisy, "vv", "vh"), id="noisy")
    tile = tile_of(small_archive)

    def using(*scenes_: Scene) -> xr.Dataset:
        choices = tuple(replace(choice, radar=tuple(s.id for s in scenes_)) for choice in scenes.choices)
        return acquire(replace(scenes, radar=scenes_, choices=choices), PC, tile, 0)

    alone, both, whole = (radar(using(*group)) for group in ((bad,), (bad, good), (good,)))
    assert np.nanmin(alone) > -34 and np.isfinite(alone).mean() < np.isfinite(whole).mean()
    assert np.array_equal(np.isfinite(both), np.isfinite(whole))


def test_damaged_pixels_do_not_depend_on_the_tile(lake: Any, small_archive: Path, tmp_path: Path) -> None:
    """Zeros in a lake, scattered impossible numbers, a rim of ones, a DEM with holes, and a turbid lake."""
    scenes = season(small_archive, YEAR)
    rng = np.random.default_rng(3)

    def wrong(values: np.ndarray, affine: Any) -> np.ndarray:
        values = np.where(rng.random(values.shape) < 0.01, 65_000, in_lake(lake, 0)(values, affine))
        values[: len(values) // 9] = 1
        return values

    def holed(values: np.ndarray, affine: Any) -> np.ndarray:
        values[60:90, 60:90], values[20:30, 100:140] = -9999, 0
        return values

    def cloudy(values: np.ndarray, affine: Any) -> np.ndarray:
        return np.where(in_lake(lake, 9)(np.zeros_like(values), affine) == 9, 9, values)

    best_scene = best(scenes)
    changed = [damage(scene, tmp_path, cloudy, "SCL") for scene in scenes.optical]
    changed = [
        damage(scene, tmp_path, wrong, "B02", "B09", "B12") if scene.id == best_scene.id else scene
        for scene in changed
    ]
    damaged = with_scenes(scenes, *changed, *(damage(dem, tmp_path, holed, "data") for dem in scenes.dem))
    tile = tile_of(small_archive)
    whole = acquire(damaged, PC, tile, 48)
    assert np.isnan(whole["dem"].to_numpy()).any() and np.isfinite(optical(whole)).all(axis=0).mean() > 0.2
    for quarter in tiles_of(region(small_archive), 256):
        part = acquire(damaged, PC, quarter, 48)
        top, left = quarter.row - tile.row, quarter.col - tile.col
        expected = whole.isel(y=slice(top, top + 352), x=slice(left, left + 352))
        xr.testing.assert_equal(part.drop_vars("spatial_ref"), expected.drop_vars("spatial_ref"))


def test_a_gap_between_dem_tiles_is_bridged_and_a_hole_is_not(small_archive: Path, tmp_path: Path) -> None:
    """Two tiles with a column missing between them, and a hole of the same width in one tile."""
    scenes, tile = season(small_archive, YEAR), tile_of(small_archive)
    (dem,) = scenes.dem

    def without(*columns: slice) -> Any:
        def change(values: np.ndarray, _: Any) -> np.ndarray:
            for group in columns:
                values[:, group] = -9999
            return values

        return change

    with rasterio.open(dem.item["assets"]["data"]["href"]) as file:
        heights, affine, facts = file.read(1), file.transform, file.profile
    parts = []
    for name, first, last in (("west", 0, 100), ("east", 101, heights.shape[1])):
        path = tmp_path / f"{name}.tif"
        part = facts | {
            "driver": "GTiff",
            "width": last - first,
            "transform": affine @ affine.translation(first, 0),
        }
        with rasterio.open(path, "w", **part) as file:
            file.write(heights[:, first:last], 1)
        item = {**dem.item, "assets": {"data": {"href": str(path)}}}
        parts.append(replace(dem, id=name, item=item))
    gap = acquire(replace(scenes, dem=tuple(parts)), PC, tile, 0)["dem"].to_numpy()
    whole = acquire(scenes, PC, tile, 0)["dem"].to_numpy()
    assert np.isfinite(gap).all() and 0 < np.abs(gap - whole).max() < 40
    hole = damage(dem, tmp_path, without(slice(100, 101)), "data")
    holed = acquire(with_scenes(scenes, hole), PC, tile, 0)["dem"].to_numpy()
    assert np.isnan(holed).sum() > 512 and np.nanmin(holed) >= whole.min()


def test_a_dem_in_centimetres_is_refused_by_name(small_archive: Path, tmp_path: Path) -> None:
    scenes = season(small_archive, YEAR)
    dem = damage(scenes.dem[0], tmp_path, lambda values, _: values * 100, "data")
    stack = acquire(with_scenes(scenes, dem), PC, tile_of(small_archive), 0)
    assert stack["dem"].isnull().all()
    assert "its heights are outside of -500 to 9000 m" in str(stack.attrs["refused"][0])


def test_decibels_taken_for_power_are_refused_by_name(small_archive: Path, tmp_path: Path) -> None:
    scenes = season(small_archive, YEAR)
    names = {scene for choice in scenes.choices for scene in choice.radar}

    def decibels(values: np.ndarray, _: Any) -> np.ndarray:
        return np.where(values > 0, 10 * np.log10(np.maximum(values, 1e-9)), values)

    changed = [damage(s, tmp_path, decibels, "vv", "vh") for s in scenes.radar if s.id in names]
    stack = acquire(with_scenes(scenes, *changed), PC, tile_of(small_archive), 0)
    assert np.isnan(radar(stack)).mean() > 0.99
    assert {error.item for error in stack.attrs["refused"]} == names
    assert "impossible as backscatter in power, the unit of the profile" in str(stack.attrs["refused"][0])
