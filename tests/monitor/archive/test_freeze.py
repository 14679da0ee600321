"""From a folder of items to the frozen list: search, refusal, measurement, choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely

from monitor.archive.catalog import FolderCatalog
from monitor.archive.explanations import Refusal
from monitor.archive.freeze import Considered, freeze, recall
from monitor.archive.sky import CLOUDS, measure
from monitor.errors import AssetError
from monitor.grid import CELL, Tile, cells_near, tile_named
from monitor.plan import ledger_row, plan
from monitor.settings import SeasonWindow
from storage import ledger, registry
from storage.codes import ModelState
from storage.database import Database
from tests.support.listings import DAY, PC, item, optical, radar, region, tile_of
from tests.support.samples import save

AREA = shapely.box(77.0, 42.5, 77.1, 42.55)
UNCLASSED = PC.model_copy(update={"optical": PC.optical.model_copy(update={"scene_classes": None})})


def frozen(folder: Path, *items: pystac.Item, excluded: dict[str, str] | None = None) -> Considered:
    """Freeze items without files. The catalogue has no scene classes, so its own cloud figure is used."""
    dem = item("dem", datetime(2021, 4, 22, tzinfo=UTC), ("data",))
    dem.collection_id = PC.dem.collection
    for made in (*items, dem):
        save(made, folder)
    return freeze(FolderCatalog(folder), UNCLASSED, AREA, SeasonWindow(), 2022, excluded)


def test_used_scenes_and_reasons_for_the_others(tmp_path: Path) -> None:
    bare = item("bare", datetime(2021, 4, 22, tzinfo=UTC), ())
    bare.collection_id = PC.dem.collection
    result = frozen(
        tmp_path,
        optical("a"),
        optical("too late", 100),
        optical("october", 60),
        optical("odd", 1, **{"s2:processing_baseline": "99.99"}),
        radar("r", 2),
        radar("gone", 20),
        bare,
    )
    chosen = result.chosen
    assert [scene.id for scene in (*chosen.optical, *chosen.radar, *chosen.dem)] == ["a", "r", "dem"]
    assert {item: why.code for item, why in chosen.refused} == {
        "odd": Refusal.UNKNOWN_BASELINE,
        "bare": Refusal.NO_ASSETS,
        "october": Refusal.CLOUDIER,
        "gone": Refusal.FAR_IN_TIME,
    }
    reasons = {item: str(why) for item, why in chosen.refused}
    assert "unknown processing baseline" in reasons["odd"] and reasons["bare"] == "comes without assets"
    assert reasons["october"].startswith("clearer dates are used in all of its cells")
    assert reasons["gone"] == "20.0 days from the nearest optical date"
    assert {scene.id for scene in result.optical} == {"a", "october"}


def test_an_item_without_collection_is_refused(tmp_path: Path) -> None:
    stray = optical("stray")
    stray.collection_id = None
    result = frozen(tmp_path, stray, optical("a", 1), radar("r", 2))
    assert [scene.id for scene in result.chosen.optical] == ["a"]
    assert result.chosen.refused == (("stray", Refusal.NO_COLLECTION.because()),)
    ((_, why),) = result.chosen.refused
    assert str(why) == "has no collection, so its product is unknown"


def test_items_excluded_by_the_settings(tmp_path: Path) -> None:
    result = frozen(tmp_path, optical("a"), optical("b", 1), radar("r", 2), excluded={"a": "striped"})
    assert [scene.id for scene in result.chosen.optical] == ["b"]
    assert dict(result.chosen.refused)["a"] == Refusal.EXCLUDED.because(why="striped")
    assert str(dict(result.chosen.refused)["a"]) == "excluded by the settings: striped"


def test_october_when_the_summer_is_cloudy(tmp_path: Path) -> None:
    cloudy = [optical(f"c{n}", n, **{"eo:cloud_cover": 80.0}) for n in range(3)]
    result = frozen(tmp_path, *cloudy, optical("october", 60), radar("far", 2), radar("near", 61))
    (orders,) = {choice.optical for choice in result.chosen.choices if choice.optical}
    assert orders == ("october", "c0", "c1", "c2")
    assert {choice.radar for choice in result.chosen.choices if choice.radar} == {("near", "far")}


@pytest.mark.parametrize("year", [2021, 2022, 2023])
def test_cloud_is_measured_on_scene_classes(small_archive: Path, year: int) -> None:
    """Measured at 160 m, compared with a count at full resolution by another reader."""
    result = freeze(FolderCatalog(small_archive), PC, region(small_archive), SeasonWindow(), year)
    tile = tile_of(small_archive)
    (home,) = cells_near(tile, 0)
    assert len(result.skies) >= len(result.optical) > 1
    for scene in result.optical:
        with rasterio.open(scene.item["assets"]["SCL"]["href"]) as raster:
            classes = raster.read(1)
        sky = result.skies[scene.id, home]
        share = np.isin(classes, CLOUDS)[classes != 0].mean()
        assert sky.cloud == pytest.approx(share, abs=0.03)
        assert sky.seen == pytest.approx((tile.size / CELL) ** 2, abs=0.02)
    best = next(choice.optical[0] for choice in result.chosen.choices if choice.cell == home)
    clouds = {scene.id: result.skies[scene.id, home].cloud for scene in result.optical}
    assert clouds[best] <= min(clouds.values()) + 0.05


def test_radar_alone_for_a_model_that_can_do_with_it(tmp_path: Path) -> None:
    """Also where the archive has no optical item at all; the choices of other models do not change."""
    dem = item("dem", datetime(2021, 4, 22, tzinfo=UTC), ("data",))
    dem.collection_id = PC.dem.collection
    for made in (radar("r", 2), radar("before the season", -50), dem):
        save(made, tmp_path)
    area = FolderCatalog(tmp_path), UNCLASSED, AREA, SeasonWindow(), 2022
    other, alone = (freeze(*area, radar_alone=way).chosen for way in (False, True))
    assert {choice.radar for choice in other.choices} == {()}
    assert {choice.radar for choice in alone.choices if choice.radar} == {("r",)}
    for chosen, possible in ((other, False), (alone, True)):
        tasks = plan(
            "demo", 2022, AREA, chosen, tile_size=512, model_digest="m", config_digest="c", sets=(7, 6)
        )
        assert {task.impossible is None for task in tasks} == {possible}
        assert {task.used for task in tasks} == {6 if possible else 0}


def test_a_scene_with_unreadable_classes(small_archive: Path) -> None:
    result = freeze(FolderCatalog(small_archive), PC, region(small_archive), SeasonWindow(), 2022)
    (home,) = cells_near(tile_of(small_archive), 0)
    broken, *others = result.optical
    broken.item["assets"]["SCL"]["href"] = "/nowhere/SCL.tif"
    skies = measure([broken, *others], PC, [home, Tile(32645, CELL, 0, 0)])
    error = skies[broken.id, home]
    assert isinstance(error, AssetError) and (error.item, error.asset) == (broken.id, "SCL")
    assert set(skies) == {(scene.id, home) for scene in result.optical}, (
        "cells outside the footprint are left out"
    )


def test_reserve_ends_on_a_date() -> None:
    assert DAY + timedelta(days=60) < datetime(2022, 10, 31, tzinfo=UTC)
    assert SeasonWindow().reserve(2022) == datetime(2022, 10, 31).date()
    assert SeasonWindow(start="10-01", end="11-20").reserve(2022) == datetime(2022, 12, 20).date()


def test_the_frozen_list_is_read_back_from_the_ledger(small_archive: Path, database: Database) -> None:
    """The scenes used by a season's tasks, without a search of the catalogue."""
    area = region(small_archive)
    chosen = freeze(FolderCatalog(small_archive), PC, area, SeasonWindow(), 2022).chosen
    (task,) = plan("demo", 2022, area, chosen, tile_size=512, model_digest="m", config_digest="c")
    with database.begin() as conn:
        registry.upsert_region(conn, "demo", area)
        registry.register_model(conn, "m", "tiny", "1", {}, state=ModelState.ACTIVE)
        tile = task.tile
        row = registry.TileRow(tile.name, tile.epsg, tile.size, tile.row, tile.col, tile.footprint())
        registry.upsert_tiles(conn, [row])
        ledger.plan_tasks(conn, [ledger_row(task)])
        kept = recall(PC, *ledger.frozen(conn, "demo", 2022))
    assert (kept.optical, kept.radar, kept.dem) == (task.scenes.optical, task.scenes.radar, task.scenes.dem)
    assert kept.choices == task.scenes.choices and kept.identity == task.scenes.identity
    assert {tile_named(tile.name) for tile in cells_near(tile, 300)} == set(cells_near(tile, 300))
