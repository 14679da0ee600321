"""The sets of sensors of a lake: their shares over tiles and zones, and the error of its area."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.grid import Tile
from monitor.lakes.absence import UNCONFIRMED, explain_absence, seen_shares
from monitor.lakes.parts import join_parts
from monitor.lakes.sensors import CODES, area_factors, mapped_without_optical, names_of, shares_of
from monitor.lakes.sights import days_seen, merge_days, sensors_seen, sights
from monitor.lakes.vectorise import NO_DAY, vectorise
from segmenter.area_factor import factor_at
from storage.codes import Index, Outcome, Reason
from tests.monitor.lakes.test_match import tally
from tests.support.scenery import COL, EPSG, EVERYWHERE, ROW, cut, pixels, tile_layers
from tests.support.sensor_sets import FEWER, FULL, sensor_set

ALL, NO_RADAR, NO_OPTICAL = 7, 5, 6
KNOTS = ((1e3, 3.0), (1e6, 1.0))


def counted(**codes: int) -> np.ndarray:
    """Numbers of pixels of a lake, as seven=3 for three pixels of the set with code 7."""
    names = ("none", "one", "two", "three", "four", "five", "six", "seven")
    return np.array([[codes.get(name, 0) for name in names]])


@pytest.mark.parametrize("size", [3, 6, 12])
@pytest.mark.parametrize("seed", range(4))
def test_pixels_by_sensors_do_not_depend_on_the_tiling(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    water = random.random((12, 12)) < 0.6
    sources = random.choice(np.array([ALL, NO_RADAR, NO_OPTICAL], np.uint8), (12, 12))
    days = np.where(sources == NO_OPTICAL, NO_DAY, random.integers(200, 240, (12, 12))).astype(np.int16)
    lakes = vectorise(cut(water, size, sources=sources, day_of_year=days), EVERYWHERE, 0)
    whole = vectorise(cut(water, 12, sources=sources, day_of_year=days), EVERYWHERE, 0)
    assert [row.tolist() for row in lakes.seen_by] == [row.tolist() for row in whole.seen_by]
    assert sum(row.sum() for row in lakes.seen_by) == water.sum()
    total = np.sum(lakes.seen_by.to_list(), axis=0)
    assert total.tolist() == np.bincount(sources[water], minlength=CODES).tolist()
    for name in ("first_doy", "last_doy"):
        assert lakes[name].tolist() == whole[name].tolist()


def test_days_are_those_of_pixels_with_an_optical_view() -> None:
    """The lake on the left has one in its lower half, that on the right nowhere; both across two tiles."""
    water = np.zeros((6, 6), bool)
    water[:, :2] = water[:, 4:] = True
    sources, days = np.full((6, 6), NO_OPTICAL, np.uint8), np.zeros((6, 6), np.int16)
    sources[4:, :2], days[4:, :2] = ALL, [[210], [230]]
    lakes = vectorise(cut(water, 3, sources=sources, day_of_year=days), EVERYWHERE, 0)
    assert list(zip(lakes.first_doy, lakes.last_doy, strict=True)) == [(210, 230), (NO_DAY, NO_DAY)]
    shares = shares_of(lakes.seen_by.to_list())
    assert shares[:, [ALL, NO_OPTICAL]].tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0, 1]]
    assert mapped_without_optical(shares).tolist() == [True, True]


def test_parts_of_a_lake_add_their_pixels() -> None:
    water = np.zeros((6, 6), bool)
    water[:, :2] = water[:, 4:] = True
    sources = np.where(np.arange(6) < 3, ALL, NO_OPTICAL).astype(np.uint8) + np.zeros((6, 6), np.uint8)
    days = np.where(sources == ALL, 220, NO_DAY).astype(np.int16)
    found = vectorise(cut(water, 6, sources=sources, day_of_year=days), EVERYWHERE, 0)
    known = vectorise(cut(np.ones((6, 6), bool), 6), EVERYWHERE, 0)
    reference = known.assign(before=known.geometry, ended=False)
    one = join_parts(found, reference, known.area_m2 * 0)
    assert len(found) == 2 and len(one) == 1
    assert one.seen_by[0].tolist() == counted(seven=12, six=12)[0].tolist()
    assert (one.first_doy[0], one.last_doy[0]) == (220, 220)


def test_the_factor_is_the_mean_of_the_sets_by_their_shares() -> None:
    sets = (sensor_set(area_factor=KNOTS), sensor_set("S1+DEM", area_factor=5.0))
    shares = shares_of([counted(seven=4)[0], counted(seven=1, six=3)[0], counted(six=2)[0]])
    areas = np.array([2e4, 2e4, 2e4])
    full = float(factor_at(KNOTS, 2e4))
    assert area_factors(shares, sets, areas).tolist() == [full, pytest.approx(full / 4 + 15 / 4), 5.0]
    of_before = shares_of(counted(five=3))
    assert area_factors(of_before, FULL, [2e4]).tolist() == [1.0], "a set that the model does not know"
    assert area_factors(shares_of([]), sets, []).tolist() == []


def test_the_factor_of_a_lake_seen_by_all_is_the_same_bits_as_before() -> None:
    random = np.random.default_rng(1)
    areas = random.uniform(1e3, 1e6, 500)
    shares = shares_of(np.outer(random.integers(1, 9999, 500), counted(seven=1)[0]))
    assert np.array_equal(
        area_factors(shares, (sensor_set(area_factor=KNOTS),), areas), factor_at(KNOTS, areas)
    )


@pytest.mark.parametrize(
    ("pixels_of", "name"),
    [
        ({"seven": 5}, "S2L2A+S1+DEM"),
        ({"seven": 2, "six": 3}, "S1+DEM"),
        ({"seven": 3, "six": 3}, "S2L2A+S1+DEM"),
        ({"five": 3, "six": 3}, "S2L2A+DEM"),
        ({"one": 2}, "S2L2A"),
        ({}, None),
    ],
)
def test_the_set_of_the_largest_share_is_named(pixels_of: dict[str, int], name: str | None) -> None:
    assert names_of(shares_of(counted(**pixels_of)), FEWER) == [name]


def test_dry_to_radar_alone_is_not_dry() -> None:
    sources = np.full((6, 6), ALL, np.uint8)
    sources[:, 3:] = NO_OPTICAL
    reason = np.full((6, 6), Reason.DRY, np.uint8)
    reason[0], reason[1] = Reason.WATER, Reason.SHADOW
    index = np.where(sources == ALL, Index.DRY, Index.NODATA).astype(np.uint8)
    tile = Tile(EPSG, 6, ROW, COL)
    layers = tile_layers(tile, reason == Reason.WATER, reason=reason, index=index, sources=sources)
    found = sights(layers)
    assert found[3].tolist() == [Reason.DRY] * 3 + [UNCONFIRMED] * 3
    assert (found[0] == Reason.WATER).all() and (found[1] == Reason.SHADOW).all()
    place = np.array([pixels(0, 0, 6, 6), pixels(20, 20, 3, 3)], object)
    assert sensors_seen(layers, place).tolist() == [counted(seven=15, six=15)[0].tolist(), [0] * CODES]
    assert sensors_seen(layers, place[:0]).shape == (0, CODES)
    without = tile_layers(
        tile, reason == Reason.WATER, reason=reason, index=index, sources=sources, day_of_year=0
    )
    days = days_seen(without, place[:1])
    assert merge_days(days, days).tolist() == [[NO_DAY, NO_DAY]]


@pytest.mark.parametrize(
    ("counts", "outcome", "reason"),
    [
        (tally(unconfirmed=10), Outcome.NOT_OBSERVED, "no water to radar alone"),
        (tally(unconfirmed=6, dry=4), Outcome.NOT_OBSERVED, "no water to radar alone"),
        (tally(unconfirmed=4, dry=6), Outcome.DRY, "seen dry"),
        (tally(unconfirmed=3, cloud=4, dry=3), Outcome.NOT_OBSERVED, "cloud"),
        (tally(unconfirmed=8, water=2), Outcome.NOT_OBSERVED, "no water to radar alone"),
    ],
)
def test_a_lake_is_never_dry_by_radar_alone(counts: np.ndarray, outcome: Outcome, reason: str) -> None:
    absence = explain_absence(counts)
    assert (absence.outcome, absence.reason) == (outcome, reason)


def test_a_lake_that_only_radar_has_seen_does_not_drain() -> None:
    absence = explain_absence(tally(dry=10), confirmed=False)
    assert absence.outcome == Outcome.NOT_OBSERVED and "water to radar alone before" in absence.reason
    assert explain_absence(tally(cloud=10), confirmed=False).reason == "cloud"


def test_ground_without_water_to_radar_hides_a_part_of_a_lake_that_optics_saw() -> None:
    counts = np.stack([tally(water=6, unconfirmed=4)] * 2)
    assert seen_shares(counts).tolist() == [0.6, 0.6]
    assert seen_shares(counts, counts, np.array([True, False])).tolist() == [1.0, 0.6]
    rim = np.stack([tally(water=6, unconfirmed=4, cloud=2)] * 2)
    assert seen_shares(counts, rim, np.array([True, False])) == pytest.approx([10 / 12, 6 / 12])
