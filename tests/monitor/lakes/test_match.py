"""Identities of lakes through every kind of history, by hand and at random."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from monitor.grid import WGS84
from monitor.lakes.absence import explain_absence, seen_shares
from monitor.lakes.identity import code_of, mint
from monitor.lakes.match import Lineage, Matching, match, references, state_changes
from storage.codes import LineageKind, Outcome, Reason
from tests.support.scenery import History, pixels

A, B, C = (UUID(int=number) for number in (1, 2, 3))
WHOLE = pixels(0, 0, 4, 10)
LEFT, RIGHT = pixels(0, 0, 4, 5), pixels(0, 6, 4, 4)
FAR = pixels(20, 20, 4, 4)


def series(*outlines: BaseGeometry) -> geopandas.GeoSeries:
    return geopandas.GeoSeries(list(outlines), crs=WGS84)


def known(history: History, season: int) -> geopandas.GeoDataFrame:
    prior = history.prior(season)
    return references(prior.observations, prior.lineage, season)


def matched(history: History, season: int, *outlines: BaseGeometry) -> Matching:
    prior = history.prior(season)
    return match(
        known(history, season),
        series(*outlines),
        "test",
        season,
        older=prior.older,
        superseded=prior.superseded,
    )


def state_events(history: History, season: int, matching: Matching, dry=(), dry_before=()) -> set[tuple]:
    reference = known(history, season)
    return {(e.kind, e.lake) for e in state_changes(reference, matching, list(dry), list(dry_before))}


def match_and_record(history: History, season: int, *outlines: BaseGeometry) -> Matching:
    """Match a season and record it."""
    result = matched(history, season, *outlines)
    history.add(season, dict(zip(result.lake_ids, outlines, strict=True)), result.lineage)
    return result


@pytest.fixture
def two_lakes() -> History:
    """Lake A with outline WHOLE and lake B with outline FAR, both in 2021."""
    history = History()
    history.add(2021, {A: WHOLE, B: FAR})
    return history


def test_without_a_history_every_identity_is_minted() -> None:
    result = matched(History(), 2021, WHOLE, FAR)
    assert len(set(result.lake_ids)) == 2
    assert result.minted == result.first_observed == set(result.lake_ids)
    assert result.missing == result.lineage == ()
    assert result.lake_ids == matched(History(), 2021, WHOLE, FAR).lake_ids, "minting is deterministic"


@pytest.mark.parametrize(
    "outline",
    [WHOLE, pixels(0, 0, 5, 12), pixels(0, 0, 4, 3), pixels(0, 6, 4, 8)],
    ids=["same", "grown", "shrunk", "moved"],
)
def test_an_overlapping_outline_is_the_same_lake(two_lakes: History, outline: BaseGeometry) -> None:
    result = matched(two_lakes, 2022, FAR, outline)
    assert result.lake_ids == (B, A)
    assert not result.minted and not result.first_observed and not result.missing and not result.lineage


def test_a_small_overlap_is_another_lake(two_lakes: History) -> None:
    result = matched(two_lakes, 2022, pixels(0, 9, 4, 20))
    assert result.lake_ids[0] not in (A, B)
    assert set(result.missing) == {A, B}


def test_split(two_lakes: History) -> None:
    result = matched(two_lakes, 2022, RIGHT, LEFT, FAR)
    right, left, far = result.lake_ids
    assert (left, far) == (A, B), "the larger part keeps the identity"
    assert result.minted == {right} == result.first_observed
    assert result.lineage == (Lineage(LineageKind.SPLIT, right, A),)
    assert not result.missing


def test_merge() -> None:
    history = History()
    history.add(2021, {A: LEFT, B: RIGHT})
    result = matched(history, 2022, WHOLE)
    assert result.lake_ids == (A,)
    assert result.lineage == (Lineage(LineageKind.MERGED, B, A),)
    assert not result.missing and not result.minted


@pytest.mark.parametrize(
    ("left", "right"),
    [(LEFT, RIGHT), (pixels(0, 0, 4, 3), pixels(0, 4, 4, 6))],
    ids=["as before", "the other part is now the larger"],
)
def test_merged_and_split_again_keeps_both_identities(left: BaseGeometry, right: BaseGeometry) -> None:
    history = History()
    history.add(2021, {A: LEFT, B: RIGHT})
    match_and_record(history, 2022, WHOLE)
    assert matched(history, 2023, WHOLE).missing == (), "a merged lake is not missing"
    result = match_and_record(history, 2023, left, right)
    assert result.lake_ids == (A, B)
    assert result.lineage == (Lineage(LineageKind.SPLIT, B, A),)
    assert not result.first_observed
    again = matched(history, 2024, left, right)
    assert again.lake_ids == (A, B) and again.lineage == (), "no longer merged"


def test_the_rest_of_a_merged_lake_keeps_its_identity() -> None:
    """Only the place of the merged lake is still wet: the remaining identity keeps it."""
    history = History()
    history.add(2021, {A: LEFT, B: RIGHT})
    match_and_record(history, 2022, WHOLE)
    result = matched(history, 2023, RIGHT)
    assert result.lake_ids == (A,) and result.lineage == ()


def test_drained_and_back(two_lakes: History) -> None:
    result = matched(two_lakes, 2022, FAR)
    assert result.missing == (A,)
    assert state_events(two_lakes, 2022, result, dry=[A]) == {(LineageKind.DRAINED, A)}
    two_lakes.add(2022, {A: None, B: FAR})
    still = matched(two_lakes, 2023, FAR)
    assert still.missing == (A,)
    assert state_events(two_lakes, 2023, still, dry=[A]) == set(), "a lake drains once"
    back = matched(two_lakes, 2023, FAR, LEFT)
    assert back.lake_ids == (B, A)
    assert state_events(two_lakes, 2023, back) == {(LineageKind.REAPPEARED, A)}


def test_a_lake_hidden_for_two_seasons_keeps_its_identity_without_event(two_lakes: History) -> None:
    for season in (2022, 2023):
        two_lakes.add(season, {B: FAR})
    result = matched(two_lakes, 2024, WHOLE, FAR)
    assert result.lake_ids == (A, B)
    assert state_events(two_lakes, 2024, result) == set() and result.lineage == ()


def test_new_where_the_ground_was_dry_before(two_lakes: History) -> None:
    result = matched(two_lakes, 2022, WHOLE, FAR, pixels(40, 40, 3, 3))
    child = result.lake_ids[2]
    assert state_events(two_lakes, 2022, result, dry_before=[child]) == {(LineageKind.NEW, child)}
    assert state_events(two_lakes, 2022, result) == set(), "new requires dry ground before"


def test_a_part_split_off_is_not_new(two_lakes: History) -> None:
    result = matched(two_lakes, 2022, LEFT, RIGHT, FAR)
    assert state_events(two_lakes, 2022, result, dry_before=[result.lake_ids[1]]) == set()


def test_rerun_keeps_identities_and_events(two_lakes: History) -> None:
    """A late scene gives a new survey of the season; rows of the superseded survey are still stored."""
    first = match_and_record(two_lakes, 2022, LEFT, RIGHT, FAR)
    shaken = (pixels(0, 0, 5, 5), pixels(0, 6, 4, 3), FAR)
    again = match_and_record(two_lakes, 2022, *shaken)
    assert again.lake_ids == first.lake_ids
    assert again.lineage == first.lineage
    assert again.first_observed == first.first_observed and not again.minted


def test_a_rerun_assigns_the_identity_to_the_larger_part_again(two_lakes: History) -> None:
    """Identities come from earlier seasons, not from the superseded survey, whatever the order of arrival."""
    match_and_record(two_lakes, 2022, LEFT, RIGHT, FAR)
    again = match_and_record(two_lakes, 2022, pixels(0, 0, 4, 3), pixels(0, 4, 4, 6), FAR)
    assert again.lake_ids[1:] == (A, B), "the larger part keeps the identity"
    assert again.minted == {again.lake_ids[0]}


def test_rerun_of_a_merge_keeps_it() -> None:
    history = History()
    history.add(2021, {A: LEFT, B: RIGHT})
    first = match_and_record(history, 2022, WHOLE)
    assert match_and_record(history, 2022, WHOLE) == first


def test_a_rerun_without_the_fragment_does_not_report_it_missing(two_lakes: History) -> None:
    """A part that only the superseded survey had is neither missing nor an event."""
    match_and_record(two_lakes, 2022, LEFT, RIGHT, FAR)
    again = matched(two_lakes, 2022, WHOLE, FAR)
    assert again.lake_ids == (A, B) and again.missing == () and again.lineage == ()


def test_a_later_season_does_not_affect_an_earlier_one() -> None:
    """2023 is recorded when 2022 arrives: identities come from prior seasons, and 2023 is replayed."""
    history = History()
    history.add(2023, {A: LEFT, B: RIGHT})
    result = matched(history, 2022, WHOLE)
    assert result == matched(History(), 2022, WHOLE)
    assert result.minted == result.first_observed and not result.minted & {A, B}


def test_a_dry_lake_under_a_grown_neighbour_has_not_merged() -> None:
    history = History()
    history.add(2021, {A: RIGHT, B: LEFT})
    history.add(2022, {A: None, B: LEFT})
    result = matched(history, 2023, WHOLE)
    assert result.lake_ids == (B,) and result.lineage == () and result.missing == ()


def test_a_duplicated_inventory_polygon_has_two_identities() -> None:
    result = matched(History(), 2020, FAR, FAR)
    assert len(set(result.lake_ids)) == 2


def test_the_latest_reliable_outline_is_the_reference(two_lakes: History) -> None:
    two_lakes.add(2022, {A: LEFT})
    assert known(two_lakes, 2023).geometry[A].equals(LEFT), "the latest outline"
    two_lakes.add(2023, {A: RIGHT}, seen_share=0.5)
    two_lakes.add(2024, {A: RIGHT}, suspect="half of the water is gone")
    for season in (2024, 2025):
        assert known(two_lakes, season).geometry[A].equals(LEFT), "observed in part, or in a suspect season"
        assert known(two_lakes, season).before[A].equals(LEFT)
    assert known(two_lakes, 2021).empty


def test_a_lake_last_observed_in_part_is_matched_with_older_seasons() -> None:
    """Never completely observed: the latest part does not touch the new outline, the part before it does."""
    history = History()
    history.add(2021, {A: LEFT}, seen_share=0.5)
    history.add(2022, {A: RIGHT}, seen_share=0.5)
    assert matched(history, 2023, LEFT).lake_ids == (A,)


def test_references_do_not_depend_on_the_order_of_rows(two_lakes: History) -> None:
    for season in (2022, 2023, 2022, 2023):
        match_and_record(two_lakes, season, LEFT, RIGHT, FAR)
    two_lakes.add(2023, {A: None})
    prior = two_lakes.prior(2024)
    expected = known(two_lakes, 2024)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(prior.observations))
        rows, lineage = prior.observations.iloc[order], prior.lineage.sample(frac=1, random_state=seed)
        assert references(rows, lineage, 2024).equals(expected)


def test_without_outlines_all_lakes_are_missing(two_lakes: History) -> None:
    result = matched(two_lakes, 2022)
    assert result.lake_ids == () and set(result.missing) == {A, B}


@pytest.mark.parametrize(
    ("outline", "code"),
    [
        (shapely.box(86.8999, 27.7249, 86.9001, 27.7251), "GL086900E27725N"),
        (shapely.box(-70.001, -12.001, -69.999, -11.999), "GL070000W12000S"),
    ],
)
def test_code(outline: BaseGeometry, code: str) -> None:
    assert code_of(outline) == code


def test_minted_ids_differ_by_place_season_region_and_turn() -> None:
    ids = {
        mint(WHOLE, "r", 2021),
        mint(FAR, "r", 2021),
        mint(WHOLE, "s", 2021),
        mint(WHOLE, "r", 2022),
        mint(WHOLE, "r", 2021, 1),
    }
    assert len(ids) == 5


def tally(**counts: int) -> np.ndarray:
    """Counts by reason, `disputed` and `unconfirmed`."""
    names = [*(reason.name.lower() for reason in Reason), "disputed", "unconfirmed"]
    return np.array([counts.get(name, 0) for name in names])


@pytest.mark.parametrize(
    ("counts", "outcome", "reason"),
    [
        (tally(dry=10), Outcome.DRY, "seen dry"),
        (tally(dry=6, cloud=4), Outcome.DRY, "seen dry"),
        (tally(dry=4, cloud=6), Outcome.NOT_OBSERVED, "cloud"),
        (tally(dry=8, water=2), Outcome.NOT_OBSERVED, "smaller than the smallest mapped lake"),
        (tally(snow=9, shadow=1), Outcome.NOT_OBSERVED, "snow, ice or frozen"),
        (tally(shadow=9, dry=1), Outcome.NOT_OBSERVED, "terrain shadow"),
        (tally(disputed=6, dry=4), Outcome.NOT_OBSERVED, "dry to the model, not to the index"),
        (tally(nodata=9), Outcome.NOT_OBSERVED, "no image"),
        (tally(), Outcome.NOT_OBSERVED, "no image"),
    ],
)
def test_absence(counts: np.ndarray, outcome: Outcome, reason: str) -> None:
    absence = explain_absence(counts)
    assert (absence.outcome, absence.reason) == (outcome, reason)
    assert 0 <= absence.seen_share <= 1


def test_seen_shares() -> None:
    counts = np.stack([tally(dry=3, water=3, cloud=6), tally(), tally(snow=5)])
    assert seen_shares(counts).tolist() == [0.5, 0, 0]
    # pixels outside the region do not count; ice beside a lake counts as ground, cloud beside it hides the
    # shore
    assert seen_shares(tally(water=5, outside=5)[None]).tolist() == [1]
    core, rim = tally(water=8)[None], tally(water=8, snow=4, cloud=4)[None]
    assert seen_shares(core, rim).tolist() == [0.75]


@st.composite
def seasons(draw: st.DrawFn) -> list[list[BaseGeometry]]:
    """Three to four seasons of separate rectangles on a coarse checkerboard, joined and split at random."""
    result = []
    for _ in range(draw(st.integers(3, 4))):
        cells = draw(st.lists(st.sampled_from(range(9)), unique=True, max_size=9))
        joined = draw(st.booleans())
        height = draw(st.integers(3, 5))
        boxes = [pixels(6 * (c // 3), 6 * (c % 3), height, 5 + joined) for c in cells]
        outline = shapely.union_all(shapely.set_precision(boxes, 1e-9)) if boxes else shapely.Polygon()
        result.append([part for part in shapely.get_parts(outline) if part.area > 0])
    return result


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seasons(), st.randoms())
def test_any_history(drawn: list[list[BaseGeometry]], random) -> None:
    history = History()
    for season, outlines in enumerate(drawn, start=2020):
        before = known(history, season)
        result = matched(history, season, *outlines)
        assert len(set(result.lake_ids)) == len(outlines), "one identity per outline"
        assert result.minted <= result.first_observed <= set(result.lake_ids)
        assert not result.minted & set(before.index)
        ended = {e.lake for e in result.lineage if e.kind == LineageKind.MERGED}
        assert not ended & set(result.lake_ids)
        assert not set(result.missing) & (set(result.lake_ids) | ended)
        for event in result.lineage:
            assert event.other in result.lake_ids and event.other != event.lake

        order = list(range(len(outlines)))
        random.shuffle(order)
        shuffled = matched(history, season, *[outlines[i] for i in order])
        assert tuple(result.lake_ids[i] for i in order) == shuffled.lake_ids or _tied(outlines)

        history.add(season, dict(zip(result.lake_ids, outlines, strict=True)), result.lineage)
        again = match_and_record(history, season, *outlines)
        assert again.lake_ids == result.lake_ids, "a rerun gives the same identities"
        assert set(again.lineage) == set(result.lineage), "and the same events"


def _tied(outlines: list[BaseGeometry]) -> bool:
    """Two parts of equal size may share an old lake in equal halves; then their order decides."""
    areas = sorted(outline.area for outline in outlines)
    return any(b - a < 1e-3 * b for a, b in pairwise(areas))
