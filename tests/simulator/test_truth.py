"""The truth is consistent, and agrees with the pixels."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import Point

from simulator.coverage import cover
from simulator.lakes import random_shape, split_in_two
from simulator.plan import cast_roles, plan_lakes
from simulator.settings import Settings
from simulator.terrain import build_terrain
from simulator.valley import valley_water
from tests.simulator.conftest import Archive, read, reflectance

pytestmark = pytest.mark.slow


def test_columns_and_values(archive: Archive) -> None:
    lakes = archive.lakes
    assert list(lakes.columns) == [
        "lake", "season", "state", "cases", "zone", "kind", "area_m2", "seen_share", "geometry",
        "ice",
    ]  # fmt: skip
    assert set(lakes["season"]) == set(archive.settings.seasons)
    assert set(lakes["state"]) <= {"water", "frozen", "drained", "absent"}
    assert lakes.groupby("season")["lake"].is_unique.all() if hasattr(lakes, "is_unique") else True
    assert not lakes.duplicated(["lake", "season"]).any()
    there = lakes["state"].isin(["water", "frozen"])
    assert lakes[there].geometry.is_valid.all()
    np.testing.assert_allclose(lakes[there].geometry.area, lakes[there]["area_m2"])
    assert (lakes.loc[~there, "area_m2"] == 0).all()
    assert lakes.loc[~there].geometry.isna().all()
    assert lakes["seen_share"].between(0, 1.0001).all()
    assert (lakes.loc[lakes["state"] == "frozen", "seen_share"] == 0).all()


def test_lakes_do_not_touch_and_lie_inside(archive: Archive) -> None:
    for _, season in archive.lakes.groupby("season"):
        water = season[season["area_m2"] > 0]
        assert water.within(archive.settings.square.buffer(-50)).all()
        near = gpd.sjoin(water, water.set_geometry(water.buffer(19.9)), predicate="intersects")
        assert (near.index == near["index_right"]).all()


def test_pixels_agree_with_the_area(archive: Archive) -> None:
    for outline in archive.lakes.geometry.dropna():
        patch = cover(outline, archive.settings)
        assert patch is not None
        assert patch.share.sum() * 100 == pytest.approx(outline.area, rel=0.02, abs=60)


def test_events_agree_with_the_lakes(archive: Archive) -> None:
    table = archive.lakes.set_index(["lake", "season"])
    assert set(archive.events["kind"]) == {"drained", "new", "split", "merged"}
    for event in archive.events.itertuples():
        parents = [p for p in event.parents.split(",") if p]
        children = [c for c in event.children.split(",") if c]
        assert event.to_season == event.from_season + 1
        assert (len(parents), len(children)) == {
            "drained": (1, 0), "new": (0, 1), "split": (1, 2), "merged": (2, 1),
        }[event.kind]  # fmt: skip
        for name, before, after in [(p, True, False) for p in parents] + [(c, False, True) for c in children]:
            assert (table.loc[(name, event.from_season), "area_m2"] > 0) == before
            assert (table.loc[(name, event.to_season), "area_m2"] > 0) == after
            seen = event.from_season if before else event.to_season
            assert table.loc[(name, seen), "seen_share"] > 0.8
        if event.kind == "drained":
            assert table.loc[(parents[0], event.to_season), "state"] == "drained"
        pair = children if event.kind == "split" else parents if event.kind == "merged" else []
        if pair:
            season = event.to_season if event.kind == "split" else event.from_season
            one, two = (table.loc[(name, season), "geometry"] for name in pair)
            assert one.distance(two) >= 40


def test_growing_and_shrinking_change_by_more_than_three_per_cent(archive: Archive) -> None:
    first, *rest = archive.settings.seasons
    for _, lake in archive.lakes.groupby("lake"):
        areas = lake.set_index("season")["area_m2"]
        cases = lake["cases"].iloc[0].split(",")
        steps = [areas[b] / areas[a] - 1 for a, b in zip([first, *rest], rest, strict=False) if areas[a]]
        if "growing" in cases:
            assert min(steps) > 0.03
        elif "shrinking" in cases:
            assert max(steps) < -0.03
        elif "stable" in cases:
            assert np.abs(steps).max() < 0.03


def test_clouded_lakes_are_hidden_on_every_date_and_others_visible(archive: Archive) -> None:
    lakes = archive.lakes[(archive.lakes["state"] == "water")]
    hidden = lakes[lakes["seen_share"] < 0.5]
    assert len(hidden) >= 1
    assert hidden["cases"].str.contains("clouded").all()
    assert lakes.drop(hidden.index)["seen_share"].min() > 0.8
    for lake in hidden.itertuples():
        patch = cover(lake.geometry, archive.settings)
        assert patch is not None
        for item in archive.optical(lake.season):
            classes = read(item, "SCL").repeat(2, 0).repeat(2, 1)[patch.rows, patch.cols]
            assert np.isin(classes[patch.share > 0.5], (8, 9, 10)).mean() > 0.98


def test_drained_ground_is_dry_in_the_images(archive: Archive) -> None:
    event = archive.events[archive.events["kind"] == "drained"].iloc[0]
    row = archive.lakes[(archive.lakes["lake"] == event["parents"])].set_index("season")
    patch = cover(row.loc[event["from_season"], "geometry"], archive.settings)
    assert patch is not None

    def infrared(season: int) -> float:
        values = []
        for item in archive.optical(season):
            classes = read(item, "SCL").repeat(2, 0).repeat(2, 1)[patch.rows, patch.cols]
            band = reflectance(item, "B11")[patch.rows, patch.cols]
            values.append(band[(patch.share > 0.99) & ~np.isin(classes, (8, 9, 10))])
        return float(np.median(np.concatenate(values)))

    assert infrared(event["from_season"]) < 400
    assert infrared(event["to_season"]) > 800


@pytest.mark.parametrize("seed", [100, 101, 102, 103])
@pytest.mark.parametrize("size", [512, 1024])
def test_every_case_occurs_with_every_seed(seed: int, size: int) -> None:
    settings = Settings(seed=seed, size=size)
    terrain = build_terrain(settings)
    lakes, events = plan_lakes(settings, terrain)
    assert {e.kind for e in events} == {"drained", "new", "split", "merged"}
    cases = {c for lake in lakes for c in lake.cases}
    assert {"growing", "stable", "shrinking", "turbid", "frozen", "clouded", "wet debris"} <= cases
    assert any(any(lake.clouded) for lake in lakes)
    assert any("frozen" in lake.states for lake in lakes)
    for lake in lakes:
        for outline in lake.outlines:
            assert outline is None or 3000 < outline.area < 1e6
    distance = terrain.glacier_distance
    for lake in valley_water(settings, terrain):
        for outline in lake.outlines:
            assert outline is not None
            patch = cover(outline, settings)
            assert patch is not None
            inner = distance[64:-64, 64:-64][patch.rows, patch.cols]
            assert inner[patch.share > 0].min() > 3000
    assert bool(valley_water(settings, terrain)) == (size >= 1024)


def test_the_full_size_has_sixty_lakes_of_all_sizes() -> None:
    roles = cast_roles(Settings())
    areas = np.array([role.area for role in roles])
    assert len(roles) >= 60
    assert 3000 <= areas.min() < 4000
    assert 8e5 < areas.max() <= 1e6
    assert (areas >= 1e4).sum() >= 45


def test_one_season_has_no_events() -> None:
    settings = Settings(seed=9, size=256, seasons=(2022,))
    _, events = plan_lakes(settings, build_terrain(settings))
    assert events == []


@pytest.mark.parametrize("area", [3_000.0, 40_000.0, 900_000.0])
def test_outlines_have_the_requested_area(area: float) -> None:
    lake = random_shape(np.random.default_rng(1), (0.0, 0.0), 0.4, 1.6)
    for factor in (0.6, 1.0, 1.35):
        assert lake.outline(area * factor, area).area == pytest.approx(area * factor, rel=1e-6)


def test_a_strip_that_leaves_a_sliver_is_not_a_split() -> None:
    assert split_in_two(Point(0, 0).buffer(30), 60, 0.3, 0.0) is None
