"""Usable items, and the reasons for refusing others; with recorded items if the samples are present."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
import shapely

from monitor.archive.explanations import Explanation, Refusal
from monitor.archive.profiles import read_profile
from monitor.archive.scenes import (
    Choice,
    Scene,
    SceneList,
    optical_scene,
    usable_dem,
    usable_optical,
    usable_radar,
)
from monitor.grid import CELL, Tile, cells_near, cells_of
from tests.support.listings import DAY, PC, item, optical, radar
from tests.support.samples import recorded

PC_ITEMS = (
    "pc/pc_sentinel-2-l2a_by-baseline.json",
    "pc/stac-geoparquet_sentinel-2-l2a-pc.json",
    "pc/stac-geoparquet_sentinel-2-item.json",
    "pc/rustac_two-sentinel-2-items.json",
    "odc-stac/site2-2020_jun_jul-35MNM.geojson",
)


def chosen(*items: pystac.Item) -> tuple[list[str], dict[str, str]]:
    scenes, refused = usable_optical(items, PC.optical)
    return [scene.id for scene in scenes], {item: str(why) for item, why in refused}


def scenes_of(*items: pystac.Item) -> list[Scene]:
    return usable_optical(items, PC.optical)[0]


@pytest.mark.parametrize("name", PC_ITEMS)
def test_recorded_items_by_their_baseline(name: str) -> None:
    """Planetary Computer keeps the offset at any date: baselines from 04.00 on have it."""
    seen = set()
    for recorded_item in recorded(name):
        baseline = recorded_item.properties["s2:processing_baseline"]
        scene = optical_scene(recorded_item, PC.optical)
        if isinstance(scene, Explanation):
            assert recorded_item.id.endswith(".SAFE") and scene.code is Refusal.LACKS_ASSETS
            continue
        seen.add(baseline)
        assert scene.offset == (-1000 if baseline >= "04.00" else 0)
        assert scene.baseline == baseline and scene.platform.startswith("Sentinel-2")
        assert scene.footprint.area > 0
    assert seen


@pytest.mark.parametrize(
    ("baseline", "offset"), [("02.12", 0), ("03.01", 0), ("04.00", -1000), ("05.00", -1000), ("05.11", -1000)]
)
def test_offset_follows_the_baseline_not_the_date(baseline: str, offset: float) -> None:
    for days in (-2000, 0):
        (scene,) = scenes_of(optical("a", days, **{"s2:processing_baseline": baseline}))
        assert scene.offset == offset


@pytest.mark.parametrize("baseline", ["", "unknown", "nan", "99.99", "5.9"])
def test_unknown_baseline_is_refused(baseline: str) -> None:
    ids, refused = chosen(optical("a", **{"s2:processing_baseline": baseline}))
    assert ids == [] and "whether it carries the +1000 offset is unknown" in refused["a"]


@pytest.mark.parametrize("band", ["B01", "B12", "SCL"])
def test_missing_band_is_refused_by_name(band: str) -> None:
    assert chosen(optical("a", lacks=band)) == ([], {"a": f"lacks the asset {band}"})


def test_items_reduced_by_a_fields_search_are_refused() -> None:
    for found in recorded("earthsearch/es-v1_sentinel-2-c1-l2a_fields-filtered.json"):
        assert optical_scene(found, PC.optical) == Refusal.NO_ASSETS.because()


def test_one_acquisition_in_two_baselines() -> None:
    old = optical("old", **{"s2:processing_baseline": "02.14"})
    new = optical("new", **{"s2:processing_baseline": "05.00"})
    for order in ((old, new), (new, old)):
        ids, refused = chosen(*order)
        assert ids == ["new"] and "in a newer baseline: new" in refused["old"]


def test_a_newer_baseline_without_a_band_is_not_preferred() -> None:
    old = optical("old", **{"s2:processing_baseline": "02.14"})
    assert chosen(old, optical("new", lacks="B11"))[0] == ["old"]


def test_recorded_duplicates_of_one_acquisition() -> None:
    """Beta items of Planetary Computer: one acquisition with two ids."""
    ids, refused = chosen(*recorded(PC_ITEMS[0]))
    assert len({(i[:37], i.split("_T")[1][:5]) for i in ids}) == len(ids)
    assert len(ids) + len(refused) == 11


def test_oldest_first() -> None:
    assert chosen(optical("b", 1), optical("a", 3), optical("c", 0))[0] == ["c", "b", "a"]


def test_order_of_the_catalogue_does_not_matter() -> None:
    items = [optical(f"s{days}", days % 4, tile=f"43TF{days % 3}") for days in range(6)]
    assert chosen(*items) == chosen(*reversed(items))


def radars(*items: pystac.Item) -> tuple[list[str], dict[str, str]]:
    scenes, refused = usable_radar(items, PC.radar)
    return [scene.id for scene in scenes], {item: str(why) for item, why in refused}


def test_radar_without_a_polarisation() -> None:
    ids, refused = radars(radar("hh", 0, assets=("hh",)), radar("vv", 0, assets=("vv",)), radar("both", 1))
    assert ids == ["both"]
    assert refused == {"hh": "lacks the polarisation VV, VH", "vv": "lacks the polarisation VH"}


def test_another_mode_is_refused() -> None:
    wide = radar("wide", 0)
    wide.properties["sar:instrument_mode"] = "EW"
    assert radars(wide) == ([], {"wide": "instrument mode EW, not IW"})


@pytest.mark.parametrize(
    "name", ["pc/stac-geoparquet_sentinel-1-rtc-pc.json", "pc/pc_sentinel-1-rtc_2025.json"]
)
def test_recorded_radar(name: str) -> None:
    items = recorded(name)
    scenes, refused = usable_radar(items, PC.radar)
    assert len(scenes) == len(items) and not refused
    assert all(scene.orbit_state == "descending" and scene.relative_orbit for scene in scenes)


def test_ground_range_requires_its_annotations() -> None:
    grd = read_profile("planetary-computer", Path()).serving("grd").radar
    found = recorded("pc/pc_sentinel-1-grd.json")
    scenes, refused = usable_radar(found, grd)
    assert [scene.id[:6] for scene in scenes] == ["S1A_IW"]
    assert refused and all(str(why) == "lacks the polarisation VV, VH" for _, why in refused)
    bare = found[[item.id for item in found].index(scenes[0].id)]
    del bare.assets["schema-noise-vh"]
    assert usable_radar([bare], grd)[1] == (
        (bare.id, Refusal.LACKS_ASSETS.because(assets=("schema-noise-vh",))),
    )


def test_what_else_of_radar_is_refused() -> None:
    unknown, flat = radar("unknown", 0), radar("flat", 0)
    del unknown.properties["sat:orbit_state"]
    flat.geometry = flat.bbox = None
    _, refused = usable_radar([unknown, flat], PC.radar)
    assert dict(refused) == {
        "unknown": Refusal.UNKNOWN_PASS.because(),
        "flat": Refusal.NO_OUTLINE.because(
            cause="it has no geometry, and its bbox is missing or not four or six numbers"
        ),
    }


def test_elevation_by_name() -> None:
    when = datetime(2021, 4, 22, tzinfo=UTC)
    scenes, refused = usable_dem(
        [item("b", when, ("data",)), item("a", when, ("data",)), item("bare", when, ())], PC.dem
    )
    assert [scene.id for scene in scenes] == ["a", "b"]
    assert [(item, str(why)) for item, why in refused] == [("bare", "comes without assets")]


@pytest.mark.parametrize(
    ("properties", "sun"),
    [
        ({"view:sun_azimuth": 150.0, "view:sun_elevation": 52.0}, (150.0, 52.0)),
        ({"s2:mean_solar_azimuth": 150.0, "s2:mean_solar_zenith": 38.0}, (150.0, 52.0)),
        ({"view:sun_azimuth": 150.0}, None),
        ({}, None),
    ],
)
def test_sun(properties: dict[str, float], sun: tuple[float, float] | None) -> None:
    (scene,) = scenes_of(optical("a", **properties))
    assert scene.sun == sun


AREA = shapely.box(76.95, 42.45, 77.05, 42.55)


def listed() -> SceneList:
    """Every cell of AREA uses one scene; the easternmost cell uses another."""
    here, east = scenes_of(optical("here"), optical("east", 1))
    (near,), _ = usable_radar([radar("r", 0)], PC.radar)
    (dem,), _ = usable_dem([item("dem", DAY, ("data",))], PC.dem)
    cells = cells_of(AREA)
    last = max(cells, key=lambda cell: cell.col)
    choices = tuple(Choice(cell, ("east" if cell.col == last.col else "here",), ("r",)) for cell in cells)
    return SceneList((here, east), (near,), (dem,), choices)


def test_a_tile_gets_the_scenes_of_its_cells_and_their_surroundings() -> None:
    scenes = listed()
    west = min((choice.cell for choice in scenes.choices), key=lambda cell: (cell.col, cell.row))
    mine = scenes.over(Tile(west.epsg, 256, west.row + 384, west.col + 384))
    assert [choice.cell for choice in mine.choices] == [west], "a tile within one cell needs only that"
    assert [scene.id for scene in (*mine.optical, *mine.radar, *mine.dem)] == ["here", "r", "dem"]
    whole = scenes.over(Tile(west.epsg, 8 * CELL, west.row, west.col))
    assert len(whole.choices) > 3 and {scene.id for scene in whole.optical} == {"here", "east"}
    far = scenes.over(Tile(32645, 256, 256 * 1000, 256 * 200))
    assert far.choices == () and far.optical == () and far.dem == ()


def test_the_identity_contains_cells_scenes_and_baselines() -> None:
    scenes = listed()
    assert scenes.identity == listed().identity
    cell = scenes.choices[0].cell.name
    assert scenes.identity[0] == f"{cell}:sentinel-2-l2a/here/05.09,sentinel-1-rtc/r/"
    assert scenes.identity[-1].endswith("/dem/")


def test_cells_do_not_depend_on_tiles() -> None:
    cells = cells_of(AREA)
    assert all(cell.size == CELL and cell.row % CELL == cell.col % CELL == 0 for cell in cells)
    assert len(cells_near(cells[0], 0)) == 1 and len(cells_near(cells[0], 1)) == 9


def part(name: str, west: float, east: float, **properties: object) -> pystac.Item:
    """An item of one acquisition, baseline 05.09, over a part of a square."""
    made = optical(name, **properties)
    box = shapely.box(west, 42.0, east, 43.0)
    made.geometry, made.bbox = shapely.geometry.mapping(box), list(box.bounds)
    return made


def test_half_products_of_one_pass_are_both_used() -> None:
    """Of two data strips: the same square, time and baseline."""
    assert chosen(part("a", 76, 76.5), part("b", 76.5, 77)) == (["a", "b"], {})
    assert chosen(part("a", 76, 76.55), part("b", 76.45, 77))[0] == ["a", "b"]
    assert chosen(part("thin", 76, 76.06), part("whole", 76.05, 77))[0] == ["thin", "whole"]


def test_a_reprocessed_half_replaces_its_half() -> None:
    newer = {"s2:processing_baseline": "05.11"}
    used, refused = chosen(part("a", 76, 76.5), part("b", 76.5, 77), part("new a", 76, 76.5, **newer))
    assert used == ["b", "new a"] and list(refused) == ["a"] and "new a" in refused["a"]
    used, refused = chosen(part("a", 76, 76.5), part("b", 76.5, 77), part("new", 76, 77, **newer))
    assert used == ["new"] and set(refused) == {"a", "b"}
    used, refused = chosen(part("old", 76, 77), part("a", 76, 76.5, **newer), part("b", 76.5, 77, **newer))
    assert used == ["a", "b"] and list(refused) == ["old"], "both halves together cover it"


def test_an_older_scene_stays_where_the_newer_shows_less() -> None:
    newer = {"s2:processing_baseline": "05.11"}
    assert chosen(part("old", 76, 77), part("new", 76, 76.7, **newer))[0] == ["new", "old"]


def test_a_copy_without_a_named_satellite_or_square_is_the_same_acquisition() -> None:
    newer = {"s2:processing_baseline": "05.11", "platform": "Sentinel-2A"}
    used, refused = chosen(part("old", 76, 77, platform=None), part("new", 76, 77, **newer))
    assert used == ["new"] and list(refused) == ["old"]
    unnamed = {"s2:mgrs_tile": None}
    used, refused = chosen(part("S2A_T43TFH_1", 76, 77, **unnamed), part("S2A_T43TFH_2", 76, 77, **newer))
    assert used == ["S2A_T43TFH_2"] and list(refused) == ["S2A_T43TFH_1"]
