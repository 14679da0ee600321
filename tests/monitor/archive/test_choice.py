"""The scenes of a cell in their order, and why other scenes are not used."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st

from monitor.archive.choice import (
    DATES_KEPT,
    choose_optical,
    choose_radar,
    kind_of,
    unused_optical,
    unused_radar,
)
from monitor.archive.explanations import Refusal
from monitor.archive.scenes import Choice, Scene
from monitor.archive.sky import Sky, measure, sky_of, united
from monitor.errors import AssetError
from monitor.grid import CELL, Tile
from tests.support.listings import PC

HERE = Tile(32643, CELL, 516 * CELL, 64 * CELL)
#: Sen2Cor's class of vegetation
CLEAR = 4
EAST = Tile(32643, CELL, 516 * CELL, 65 * CELL)
END = date(2022, 9, 30)
DAY = datetime(2022, 8, 15, 5, 30, tzinfo=UTC)
BOTH = shapely.union(HERE.footprint(), EAST.footprint())


def scene(name: str, days: float = 0, area: Any = BOTH, **facts: Any) -> Scene:
    item = {"geometry": shapely.geometry.mapping(area)}
    return Scene(name, "s", DAY + timedelta(days=days), item, **{"platform": "Sentinel-2A", **facts})


def order(*looks: tuple[Scene, Sky]) -> tuple[str, ...]:
    (choice,) = choose_optical([s for s, _ in looks], {(s.id, HERE): sky for s, sky in looks}, [HERE], END)
    return choice.optical


def test_clearest_first_then_oldest() -> None:
    ids = order(
        (scene("dull", 3), Sky(1, 0.2)),
        (scene("younger", 2), Sky(1, 0.05)),
        (scene("older", 1), Sky(1, 0.05)),
    )
    assert ids == ("older", "younger", "dull")


def test_a_date_covering_half_comes_after_one_covering_all() -> None:
    assert order((scene("half", 0), Sky(0.5, 0.0)), (scene("all", 1), Sky(1, 0.2))) == ("all", "half")


def test_cloudy_dates_only_fill_gaps() -> None:
    """Even if they show much more of the cell clear."""
    assert order((scene("cloudy", 0), Sky(1, 0.4)), (scene("good", 1), Sky(0.4, 0.1))) == ("good", "cloudy")


def test_october_is_used_only_without_a_good_summer_date() -> None:
    october, cloudy = (scene("october", 60), Sky(1, 0.0)), (scene("cloudy", 0), Sky(1, 0.6))
    assert order(october, cloudy) == ("october", "cloudy")
    assert order(october, (scene("good", 1), Sky(1, 0.29)), cloudy) == ("good", "cloudy")
    worse = (scene("worse", 61), Sky(1, 0.9))
    assert order(worse, cloudy) == ("cloudy", "worse"), "without a good date October comes last"


def test_unknown_cloud_comes_last() -> None:
    assert order((scene("unknown", 0), Sky(1, None)), (scene("cloudy", 1), Sky(1, 0.9))) == (
        "cloudy",
        "unknown",
    )


def test_best_dates_are_kept_and_scenes_of_one_pass_are_one_date() -> None:
    many = [(scene(f"d{n}", n), Sky(1, n / 100)) for n in range(DATES_KEPT + 2)]
    assert order(*many) == tuple(f"d{n}" for n in range(DATES_KEPT))
    row = np.arange(10)
    left = scene("left", 0), sky_of(np.where(row < 3, CLEAR, 0)[np.newaxis])
    right = scene("right", 0.0001), sky_of(np.where(row >= 3, CLEAR, 0)[np.newaxis])
    ids = order(*many[1:], left, right)
    assert ids[:2] == ("right", "left") and len(ids) == DATES_KEPT + 1


def test_scenes_without_valid_pixels_are_not_used() -> None:
    assert order((scene("beside", 0), Sky(0.0, 0.0))) == ()


def test_each_cell_has_its_own_best_date() -> None:
    one, two = scene("one", 0), scene("two", 1)
    skies = {
        ("one", HERE): Sky(1, 0.0),
        ("two", HERE): Sky(1, 0.8),
        ("one", EAST): Sky(1, 0.8),
        ("two", EAST): Sky(1, 0.0),
    }
    here, east = choose_optical([one, two], skies, [HERE, EAST], END)
    assert here.optical == ("one", "two") and east.optical == ("two", "one")


def test_an_unreadable_scene_leaves_its_cells_undecided() -> None:
    error = AssetError("bad", "SCL", "https://x/scl.tif", "HTTP 404")
    skies = {("bad", HERE): error, ("good", HERE): Sky(1, 0.0), ("good", EAST): Sky(1, 0.0)}
    here, east = choose_optical([scene("bad"), scene("good", 1)], skies, [HERE, EAST], END)
    assert here.optical == () and here.fault is error
    assert east.optical == ("good",) and east.fault is None
    why = dict(unused_optical([scene("bad")], skies, [here, east]))["bad"]
    assert why == Refusal.UNREADABLE.because(asset="SCL", href="https://x/scl.tif", cause="HTTP 404")
    assert f"bad: {why}" == str(error)


def test_the_cloud_of_a_cloudier_date_is_that_of_the_cells_where_it_is_known() -> None:
    skies = {("c", HERE): Sky(1, 0.4), ("c", EAST): Sky(0.5, None), ("u", HERE): Sky(1, None)}
    skies |= {("beside", HERE): Sky(0.0, 0.0)}
    refused = dict(unused_optical([scene("c"), scene("u"), scene("beside")], skies, [Choice(HERE, ("o",))]))
    assert refused["c"] == Refusal.CLOUDIER.because(cloud=0.4) and "(40% cloud" in str(refused["c"])
    assert refused["u"] == Refusal.CLOUD_UNKNOWN.because()
    assert refused["beside"] == Refusal.NOTHING_SEEN.because()


skies_strategy = st.lists(
    st.tuples(st.integers(0, 119), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=12,
    unique_by=lambda t: t[0],
)


@given(skies_strategy, st.randoms())
def test_the_order_of_the_catalogue_does_not_matter(
    found: list[tuple[int, float, float]], chance: Any
) -> None:
    looks = [(scene(f"d{day}", day - 45), Sky(seen, cloud)) for day, seen, cloud in found]
    expected = order(*looks)
    chance.shuffle(looks)
    assert order(*looks) == expected
    assert len(expected) <= DATES_KEPT and len(set(expected)) == len(expected)
    good = {s.id for s, sky in looks if sky.seen > 0 and sky.cloud < 0.3 and s.datetime.date() <= END}
    assert not good or expected[0] in good


def radar(
    name: str, days: float, direction: str = "ascending", platform: str = "SENTINEL-1A", **facts
) -> Scene:
    return scene(name, days, orbit_state=direction, platform=platform, **facts)


def chosen(
    *scenes: Scene, best: dict[Tile, list[datetime]] | None = None
) -> tuple[dict[Tile, Any], dict[str, str]]:
    best = best or {HERE: [DAY]}
    open_choices = [Choice(cell, ("o",)) for cell in (HERE, EAST)]
    choices = choose_radar(scenes, open_choices, best)
    refused = {item: str(why) for item, why in unused_radar(scenes, choices, best)}
    return {c.cell: c.radar for c in choices}, refused


def test_radar_of_one_pass_nearest_first() -> None:
    used, refused = chosen(
        radar("far", 5), radar("near", -2), radar("other", 3, "descending"), radar("nearest", 1)
    )
    assert used == {HERE: ("nearest", "near", "far"), EAST: ()}
    assert refused == {"other": "descending Sentinel-1A/B, the region's radar is ascending Sentinel-1A/B"}


def test_radar_within_seven_days_of_the_cells_own_dates() -> None:
    used, refused = chosen(radar("in", 7), radar("out", 7.5), radar("before", -6.9))
    assert used[HERE] == ("before", "in") and refused == {"out": "7.5 days from the nearest optical date"}
    used, refused = chosen(
        radar("in", 0), radar("late", 20), best={HERE: [DAY], EAST: [DAY + timedelta(days=20)]}
    )
    assert used == {HERE: ("in",), EAST: ("late",)} and not refused


def test_radar_near_a_second_date_is_added() -> None:
    dates = [DAY, DAY + timedelta(days=20)]
    used, _ = chosen(radar("second", 19), best={HERE: dates})
    assert used[HERE] == ("second",)
    used, _ = chosen(radar("second", 19), radar("best", -5), best={HERE: dates})
    assert used[HERE] == ("best", "second")


def test_the_pass_covering_most_cells_is_chosen() -> None:
    half = radar("half", 0, "descending", area=HERE.footprint().buffer(-0.01))
    used, refused = chosen(half, radar("both", 3), best={HERE: [DAY], EAST: [DAY]})
    assert used == {HERE: ("both",), EAST: ("both",)} and "descending" in refused["half"]


def test_satellites_of_other_orbits_are_not_mixed() -> None:
    used, refused = chosen(
        radar("c", 0, platform="SENTINEL-1C"), radar("a", 1), radar("b", 2, platform="sentinel-1b")
    )
    assert used[HERE] == ("c",) and "the region's radar is ascending Sentinel-1C" in refused["a"]
    used, _ = chosen(
        radar("c", 5, platform="SENTINEL-1C"), radar("a", 1), radar("b", 2, platform="sentinel-1b")
    )
    assert used[HERE] == ("a", "b")
    assert kind_of(radar("x", 0, platform="SENTINEL-1D")) == ("ascending", "Sentinel-1D")


def test_radar_without_optical() -> None:
    choices = choose_radar([radar("a", 0)], [Choice(HERE, ())], {})
    assert choices == [Choice(HERE, ())]
    assert dict(unused_radar([radar("a", 0)], choices, {})) == {"a": Refusal.NO_OPTICAL_DATE.because()}


def test_a_model_that_needs_no_optical_scene_gets_the_radar_of_the_season() -> None:
    """Nearest to the middle of the season; a cell with an optical date keeps the radar beside that date."""
    season = DAY.date() - timedelta(days=20), DAY.date() + timedelta(days=20)
    scenes = [radar(f"{days:+}", days) for days in (-30, -12, -1, 3, 13, 30)]
    choices = choose_radar(scenes, [Choice(HERE, ()), Choice(EAST, ("o",))], {EAST: [DAY]}, season)
    used = {choice.cell: choice.radar for choice in choices}
    assert used == {HERE: ("-1", "+3", "-12", "+13"), EAST: ("-1", "+3")}
    refused = dict(unused_radar(scenes, choices, {EAST: [DAY]}, season))
    assert refused == {name: Refusal.FAR_IN_TIME.because(days=30.0) for name in ("-30", "+30")}
    alone = choose_radar(scenes, [Choice(HERE, ())], {}, season)
    assert alone[0].radar == used[HERE]
    refused = dict(unused_radar(scenes, alone, {}, season))
    assert refused == dict.fromkeys(("-30", "+30"), Refusal.NO_OPTICAL_DATE.because())


def test_an_undecided_cell_has_no_radar() -> None:
    fault = AssetError("bad", "SCL", "https://x/scl.tif", "HTTP 404")
    season = DAY.date(), DAY.date()
    (choice,) = choose_radar([radar("a", 0)], [Choice(HERE, (), fault=fault)], {}, season)
    assert choice.radar == ()


def test_sky_by_hand() -> None:
    classes = np.array([[0, 0, 4, 5], [8, 9, 10, 3]], np.uint8)
    assert sky_of(classes) == Sky(seen=0.75, cloud=0.5)
    assert sky_of(np.zeros((4, 4), np.uint8)) == Sky(0.0, 0.0)


def test_a_fault_can_be_pickled(tmp_path: Path) -> None:
    """GDAL's errors cannot be pickled, and remained attached to the fault as its context."""
    try:
        try:
            rasterio.open(tmp_path / "nothing.tif")
        except rasterio.errors.RasterioIOError:
            raise AssetError("bad", "SCL", "https://x/scl.tif", "HTTP 404")  # noqa: B904 - the test needs the context
    except AssetError as error:
        fault = error.detached()
    kept = pickle.loads(pickle.dumps(Choice(HERE, (), fault=fault)))
    assert str(kept.fault) == str(fault) and kept.fault.__context__ is None is kept.fault.__cause__


GROUND = st.lists(st.booleans(), min_size=8, max_size=8)


@given(st.lists(st.tuples(GROUND, GROUND), min_size=1, max_size=4))
def test_scenes_of_a_pass_together_show_what_one_of_them_shows(
    shown: list[tuple[list[bool], list[bool]]],
) -> None:
    """What several scenes show counts once, and is clear where one of them is."""
    skies = [
        sky_of(np.where(seen, np.where(clear, CLEAR, 9), 0)[np.newaxis].astype(np.uint8))
        for seen, clear in shown
    ]
    seen = np.any([seen for seen, _ in shown], axis=0)
    clear = np.any([np.logical_and(seen, clear) for seen, clear in shown], axis=0)
    found = united(skies)
    assert found.seen == seen.mean()
    assert found.cloud == pytest.approx(1 - clear.sum() / seen.sum() if seen.any() else 0.0)


def test_half_and_the_same_half_is_a_half() -> None:
    half = sky_of(np.array([[CLEAR, CLEAR, 0, 0]], np.uint8))
    whole = sky_of(np.array([[CLEAR] * 9 + [9]], np.uint8))
    assert united([half, half]).seen == 0.5
    ids = order((scene("a", 0), half), (scene("b", 0), half), (scene("whole", 10), whole))
    assert ids == ("whole", "a", "b")
    shares_only = order(
        (scene("a", 0), Sky(0.5, 0.05)), (scene("b", 0), Sky(0.5, 0.05)), (scene("w", 9), whole)
    )
    assert shares_only[0] == "w"


def test_a_pass_over_midnight_is_one_pass_and_two_orbits_are_two() -> None:
    midnight = (datetime(2022, 8, 4, tzinfo=UTC) - DAY) / timedelta(days=1)
    left = sky_of(np.array([[CLEAR, 0]], np.uint8))
    right = sky_of(np.array([[0, CLEAR]], np.uint8))
    almost = sky_of(np.array([[CLEAR] * 8 + [9] * 2], np.uint8))
    before, after = (scene(name, midnight + shift) for name, shift in (("l", -1e-4), ("r", 1e-4)))
    assert order((before, left), (after, right), (scene("whole", 5), almost)) == ("l", "r", "whole")
    orbits = scene("first", 0), scene("second", 99 / 1440)
    assert order((orbits[0], left), (orbits[1], right), (scene("whole", 5), almost))[0] == "whole"


def test_a_scene_without_classes_shows_what_lies_in_its_outline() -> None:
    west, south, east, north = HERE.footprint().bounds
    profile = PC.model_copy(update={"optical": PC.optical.model_copy(update={"scene_classes": None})})
    parts = {"half": shapely.box(west, south, (west + east) / 2, north), "all": HERE.footprint().buffer(0.01)}
    scenes = [scene(name, area=area, cloud_cover=20.0) for name, area in parts.items()]
    skies = measure(scenes, profile, [HERE])
    assert skies["half", HERE].seen == pytest.approx(0.5, abs=0.04) and skies["all", HERE] == Sky(1.0, 0.2)
    assert united([skies["half", HERE], skies["half", HERE]]) == skies["half", HERE]
