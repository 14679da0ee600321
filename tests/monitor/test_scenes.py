"""Which scenes are read, in which order, and why not the others; on recorded items where these are here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from samples import recorded, save

from monitor.catalog import FolderCatalog
from monitor.profiles import S2_BANDS, CatalogProfile, read_profile
from monitor.scenes import DATES_KEPT, Scene, choose_optical, choose_radar, freeze, optical_scene

PROFILE = read_profile("planetary-computer", Path())
DAY = datetime(2022, 8, 15, 5, 30, tzinfo=UTC)
PC_ITEMS = (
    "pc/pc_sentinel-2-l2a_by-baseline.json",
    "pc/stac-geoparquet_sentinel-2-l2a-pc.json",
    "pc/stac-geoparquet_sentinel-2-item.json",
    "pc/rustac_two-sentinel-2-items.json",
    "odc-stac/site2-2020_jun_jul-35MNM.geojson",
)


def item(item_id: str, when: datetime, assets: tuple[str, ...], **properties: Any) -> pystac.Item:
    box = shapely.box(76.9, 42.4, 77.1, 42.6)
    made = pystac.Item(item_id, shapely.geometry.mapping(box), list(box.bounds), when, properties)
    for key in assets:
        made.add_asset(key, pystac.Asset(f"/data/{item_id}/{key}.tif"))
    return made


def optical(
    item_id: str, days: int = 0, *, lacks: str = "", tile: str = "43TFH", **properties: Any
) -> pystac.Item:
    assets = tuple(band for band in (*S2_BANDS, "SCL") if band != lacks)
    filled = {"s2:mgrs_tile": tile, "s2:processing_baseline": "05.09", "eo:cloud_cover": 10.0, **properties}
    made = item(item_id, DAY + timedelta(days=days), assets, **filled)
    made.collection_id = PROFILE.optical.collection
    return made


def radar(item_id: str, days: float, direction: str = "ascending", assets=("vv", "vh")) -> pystac.Item:
    made = item(item_id, DAY + timedelta(days=days), assets, **{"sat:orbit_state": direction})
    made.collection_id = PROFILE.radar.collection
    return made


def chosen(*items: pystac.Item) -> tuple[list[str], dict[str, str]]:
    scenes, refused = choose_optical(items, PROFILE.optical)
    return [scene.id for scene in scenes], dict(refused)


def scenes_of(*items: pystac.Item) -> tuple[Scene, ...]:
    return choose_optical(items, PROFILE.optical)[0]


@pytest.mark.parametrize("name", PC_ITEMS)
def test_recorded_items_by_their_baseline(name: str) -> None:
    """Planetary Computer leaves the offset in, whatever the date: 04.00 and later carry it."""
    seen = set()
    for recorded_item in recorded(name):
        baseline = recorded_item.properties["s2:processing_baseline"]
        scene = optical_scene(recorded_item, PROFILE.optical)
        if isinstance(scene, str):
            assert recorded_item.id.endswith(".SAFE") and scene.startswith("lacks the asset ")
            continue
        seen.add(baseline)
        assert scene.offset == (-1000 if baseline >= "04.00" else 0) and scene.scale == 1
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


def test_partial_items_of_a_fields_search_are_refused() -> None:
    for found in recorded("earthsearch/es-v1_sentinel-2-c1-l2a_fields-filtered.json"):
        assert "lacks the asset" in str(optical_scene(found, PROFILE.optical))


def test_one_acquisition_in_two_baselines() -> None:
    old = optical("old", **{"s2:processing_baseline": "02.14"})
    new = optical("new", **{"s2:processing_baseline": "05.00"})
    for order in ((old, new), (new, old)):
        ids, refused = chosen(*order)
        assert ids == ["new"] and "in a newer baseline: new" in refused["old"]


def test_a_newer_baseline_that_lacks_a_band_does_not_win() -> None:
    old = optical("old", **{"s2:processing_baseline": "02.14"})
    assert chosen(old, optical("new", lacks="B11"))[0] == ["old"]


def test_recorded_duplicates_of_one_acquisition() -> None:
    """Beta items of Planetary Computer: one acquisition under two ids."""
    ids, refused = chosen(*recorded(PC_ITEMS[0]))
    assert len({(i[:37], i.split("_T")[1][:5]) for i in ids}) == len(ids)
    assert len(ids) + len(refused) == 11


def test_clearest_first_unknown_last() -> None:
    ids, _ = chosen(
        optical("b", 1, **{"eo:cloud_cover": 20.0}),
        optical("unknown", 2, **{"eo:cloud_cover": None}),
        optical("a", 3, **{"eo:cloud_cover": 0.0}),
        optical("c", 0, **{"eo:cloud_cover": 20.0}),
    )
    assert ids == ["a", "c", "b", "unknown"]


def test_order_of_the_catalogue_does_not_matter() -> None:
    items = [optical(f"s{days}", days, **{"eo:cloud_cover": float(days % 3)}) for days in range(6)]
    assert chosen(*items) == chosen(*reversed(items))


def test_best_dates_of_each_place_are_kept() -> None:
    here = [optical(f"here{n}", n, **{"eo:cloud_cover": float(n)}) for n in range(DATES_KEPT + 2)]
    ids, refused = chosen(*here, optical("there", tile="44TKN", **{"eo:cloud_cover": 90.0}))
    assert ids == [f"here{n}" for n in range(DATES_KEPT)] + ["there"]
    assert "clearer dates of the same place are used" in refused[f"here{DATES_KEPT}"]


BANDED = PROFILE.optical.model_copy(
    update={
        "offset": "raster:bands",
        "scene_classes": None,
        "bands": {band: f"data.{number}" for number, band in enumerate(S2_BANDS, start=1)},
    }
)


def banded(bands: list[dict[str, float]]) -> pystac.Item:
    made = item("a", DAY, ("data",))
    made.assets["data"].extra_fields["raster:bands"] = bands
    return made


@pytest.mark.parametrize(("declared", "offset"), [(-0.1, -1000.0), (0, 0.0), (0.0, 0.0)])
def test_declared_offset(declared: float, offset: float) -> None:
    scene = optical_scene(banded([{"scale": 1e-4, "offset": declared}] * 12), BANDED)
    assert isinstance(scene, Scene)
    assert scene.offset == pytest.approx(offset) and scene.scale == pytest.approx(1)


@pytest.mark.parametrize(
    ("bands", "reason"),
    [
        ([], "declares no scale and offset for band 1"),
        ([{"scale": 1e-4, "offset": 0}] * 11, "for band 12"),
        ([{"scale": 1e-4}] * 12, "declares no scale and offset"),
        ([{"scale": 1e-4, "offset": 0}] * 11 + [{"scale": 1e-4, "offset": -0.1}], "different offsets"),
    ],
)
def test_undeclared_offset_is_refused(bands: list[dict[str, float]], reason: str) -> None:
    assert reason in str(optical_scene(banded(bands), BANDED))


def radars(*items: pystac.Item, optical_days: tuple[int, ...] = (0,)) -> tuple[list[str], dict[str, str]]:
    dates = scenes_of(*[optical(f"o{days}", days) for days in optical_days])
    scenes, refused = choose_radar(items, PROFILE, dates)
    return [scene.id for scene in scenes], dict(refused)


def test_radar_of_one_pass_nearest_first() -> None:
    ids, refused = radars(
        radar("far", 5), radar("near", -2), radar("other", 3, "descending"), radar("nearest", 1)
    )
    assert ids == ["nearest", "near", "far"]
    assert refused == {"other": "another pass than ascending"}


def test_radar_within_seven_days() -> None:
    ids, refused = radars(radar("in", 7), radar("out", 7.5), radar("before", -6.9))
    assert ids == ["before", "in"] and refused == {"out": "7.5 days from the nearest optical date"}


def test_a_radar_scene_too_far_does_not_choose_the_pass() -> None:
    """The nearest to the best date is ten days off; the only one in time is of the other pass."""
    ids, _ = radars(radar("out", -10, "descending"), radar("in", 24, "ascending"), optical_days=(0, 20))
    assert ids == ["in"]


def test_radar_without_a_polarisation() -> None:
    ids, refused = radars(radar("hh", 0, assets=("hh",)), radar("vv", 0, assets=("vv",)), radar("both", 1))
    assert ids == ["both"]
    assert refused == {"hh": "lacks the polarisation VV, VH", "vv": "lacks the polarisation VH"}


def test_radar_without_optical() -> None:
    assert choose_radar([radar("a", 0)], PROFILE, ()) == ((), ())


@pytest.mark.parametrize(
    "name", ["pc/stac-geoparquet_sentinel-1-rtc-pc.json", "pc/pc_sentinel-1-rtc_2025.json"]
)
def test_recorded_radar(name: str) -> None:
    items = recorded(name)
    moment = items[0].datetime - DAY
    dates = scenes_of(optical("o", moment.days))
    scenes, refused = choose_radar(items, PROFILE, dates)
    assert len(scenes) == len(items) and not refused
    assert all(scene.orbit_state == "descending" and scene.relative_orbit for scene in scenes)


def test_recorded_single_polarisation_is_refused() -> None:
    dates = scenes_of(optical("o"))
    scenes, refused = choose_radar(recorded("pc/pc_sentinel-1-grd.json"), PROFILE, dates)
    assert not scenes and any("lacks the polarisation VV, VH" in reason for _, reason in refused)


def test_freeze(tmp_path: Path) -> None:
    dem = item("dem", datetime(2021, 4, 22, tzinfo=UTC), ("data",))
    bare = item("bare", datetime(2021, 4, 22, tzinfo=UTC), ())
    dem.collection_id = bare.collection_id = PROFILE.dem.collection
    for made in (optical("a"), optical("late", 60), radar("r", 2), radar("gone", 20), dem, bare):
        save(made, tmp_path)
    area = shapely.box(77.0, 42.5, 77.2, 42.7)
    frozen = freeze(FolderCatalog(tmp_path), PROFILE, area, date(2022, 7, 1), date(2022, 9, 30))
    assert [s.id for s in (*frozen.optical, *frozen.radar, *frozen.dem)] == ["a", "r", "dem"]
    assert dict(frozen.refused) == {
        "gone": "20.0 days from the nearest optical date",
        "bare": "lacks the asset data",
    }
    assert frozen.identity == (
        "sentinel-2-l2a/a/05.09",
        "sentinel-1-rtc/r/",
        "cop-dem-glo-30/dem/",
    )
    assert frozen.over(shapely.box(77.05, 42.5, 77.06, 42.51)).identity == frozen.identity
    assert frozen.over(shapely.box(78, 42, 79, 43)).identity == ()
    assert frozen.optical[0].day_of_year == 227


def test_profile_is_the_planetary_computers() -> None:
    assert isinstance(PROFILE, CatalogProfile) and PROFILE.optical.offset == "baseline"
