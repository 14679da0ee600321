"""Seasons drawn by hand on 36 pixels: the record of each lake, and the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest

from monitor.history.draft import SurveyDraft
from monitor.history.season import draft_season
from segmenter.area_factor import AreaFactor, factor_at
from segmenter.manifest import SensorSet
from storage.codes import Index, LineageKind, Outcome, Reason, SurveyKind
from tests.support.scenery import History, cut, pixels, region, season_of
from tests.support.sensor_sets import FULL, sensor_set

SIDE = 36
SMALLEST = 2000.0


def mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    water = np.zeros((SIDE, SIDE), bool)
    for top, left, height, width in boxes:
        water[top : top + height, left : left + width] = True
    return water


def scene(
    water: np.ndarray,
    hidden: np.ndarray | None = None,
    cause: Reason = Reason.CLOUD,
    size: int = 18,
    **layers,
):
    reason = np.where(water, Reason.WATER, Reason.DRY).astype(np.uint8)
    if hidden is not None:
        reason[hidden] = cause
        water = water & ~hidden
    return cut(water, size, reason=reason, **layers)


class Seasons:
    """Draft surveys season by season, each added to the history of the earlier ones."""

    def __init__(self) -> None:
        self.history, self.past = History(), {}

    def draw(
        self, season: int, maps, zone=None, area_factor: AreaFactor = 1.0, sets: Sequence[SensorSet] = ()
    ) -> SurveyDraft:
        before = sorted((other for other in self.past if other < season), reverse=True)
        previous = [season_of(self.past[other]) for other in before]
        place = region() if zone is None else region(zone)
        rows = draft_season(
            season_of(maps),
            place,
            season,
            self.history.prior(season),
            previous,
            smallest_m2=SMALLEST,
            sets=sets or (sensor_set(area_factor=area_factor),),
        )
        self.history.record(rows, season)
        self.past[season] = maps
        return rows


def events(rows: SurveyDraft) -> list[str]:
    return sorted(rows.lineage.kind)


def outcomes(rows: SurveyDraft) -> list[tuple[str, str | None]]:
    return [(row.outcome, row.reason) for row in rows.observations.itertuples()]


LAKE = mask((5, 5, 10, 20))
POND = mask((28, 28, 3, 3))
NOTHING = mask()


def test_a_first_season() -> None:
    days = np.full((SIDE, SIDE), 230, np.int16)
    days[5] = 200
    rows = Seasons().draw(2021, scene(LAKE | POND, day_of_year=days))
    assert outcomes(rows) == [("water", None)], "smaller than 0.2 ha: left out"
    (row,) = rows.observations.itertuples()
    assert (row.first_day, row.last_day) == (date(2021, 7, 19), date(2021, 8, 18))
    assert row.probability == pytest.approx(0.9) and row.seen_share == 1
    assert row.perimeter_m == pytest.approx(600) and row.sigma_m2 == pytest.approx(0.6872 * 60 * 50)
    assert list(rows.lakes.id) == [row.lake_id] and rows.lakes.code[0].startswith("GL075")
    assert rows.lineage.empty and rows.flags.empty


def test_a_season_without_lakes() -> None:
    rows = Seasons().draw(2021, scene(NOTHING))
    assert rows.observations.empty and rows.lakes.empty and rows.lineage.empty and rows.flags.empty


def test_drained_is_recorded_and_flagged_once() -> None:
    seasons = Seasons()
    (lake,) = seasons.draw(2021, scene(LAKE)).observations.lake_id
    days = np.full((SIDE, SIDE), 230, np.int16)
    days[5, 5:9] = 200
    days[5, 10:14] = 0
    rows = seasons.draw(2022, scene(NOTHING, day_of_year=days))
    assert outcomes(rows) == [("dry", "seen dry")] and events(rows) == ["drained"]
    (row,) = rows.observations.itertuples()
    assert (row.first_day, row.last_day) == (date(2022, 7, 19), date(2022, 8, 18)), "over four tiles"
    (flag,) = rows.flags.itertuples()
    assert (flag.detail["day_before"], flag.detail["day_after"]) == ("2021-08-18", "2022-07-19")
    assert (flag.kind, flag.lake_id, flag.explained) == ("drained", lake, False)
    again = seasons.draw(2023, scene(NOTHING))
    assert outcomes(again) == [("dry", "seen dry")] and events(again) == [] and again.flags.empty
    back = seasons.draw(2024, scene(LAKE))
    assert list(back.observations.lake_id) == [lake] and events(back) == ["reappeared"]


def test_flicker_below_the_smallest_area_is_not_drained() -> None:
    seasons = Seasons()
    ids = set()
    for season, water in enumerate([mask((5, 5, 5, 5)), mask((5, 5, 4, 4)), mask((5, 5, 5, 5))], start=2021):
        rows = seasons.draw(season, scene(water))
        ids |= set(rows.observations.lake_id)
        assert events(rows) == [] and rows.flags.empty
        if season == 2022:
            assert outcomes(rows) == [("not observed", "smaller than the smallest mapped lake")]
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Reason.CLOUD, "cloud"),
        (Reason.SNOW, "snow, ice or frozen"),
        (Reason.SHADOW, "terrain shadow"),
        (Reason.NODATA, "no image"),
    ],
)
def test_hidden_for_two_seasons(cause: Reason, reason: str) -> None:
    seasons = Seasons()
    first = seasons.draw(2021, scene(LAKE))
    for season in (2022, 2023):
        rows = seasons.draw(season, scene(LAKE, hidden=mask((0, 0, SIDE, SIDE)), cause=cause))
        assert outcomes(rows) == [("not observed", reason)] and events(rows) == [] and rows.flags.empty
    rows = seasons.draw(2024, scene(LAKE))
    assert list(rows.observations.lake_id) == list(first.observations.lake_id) and events(rows) == []


def test_a_cloud_across_a_lake_does_not_split_it() -> None:
    """Two shores visible, the middle hidden: one lake observed in part, no event now or a season later."""
    seasons = Seasons()
    first = seasons.draw(2021, scene(LAKE))
    rows = seasons.draw(2022, scene(LAKE, hidden=mask((0, 12, SIDE, 6))))
    assert list(rows.observations.lake_id) == list(first.observations.lake_id)
    assert events(rows) == [] and rows.lakes.empty and rows.flags.empty
    (row,) = rows.observations.itertuples()
    assert row.seen_share < 0.9 and len(row.geometry.geoms) == 2
    assert row.perimeter_m == pytest.approx(2 * (7 + 10 + 7 + 10) * 10)
    assert events(seasons.draw(2023, scene(LAKE))) == []


def test_a_split_in_full_view_is_an_event() -> None:
    seasons = Seasons()
    (lake,) = seasons.draw(2021, scene(LAKE)).observations.lake_id
    rows = seasons.draw(2022, scene(mask((5, 5, 10, 11), (5, 18, 10, 7))))
    assert events(rows) == ["split"] and rows.lineage.other_lake_id[0] == lake
    assert set(rows.observations.outcome) == {"water"} and len(rows.lakes) == 1
    merged = seasons.draw(2023, scene(LAKE))
    assert events(merged) == ["merged"] and merged.lineage.lake_id[0] == rows.lakes.id[0]
    assert outcomes(merged) == [("water", None)], "a merged lake has no row"


def test_new_only_where_the_ground_was_dry_before() -> None:
    for hidden, expected in ((None, ["new"]), (mask((0, 0, SIDE, SIDE)), [])):
        seasons = Seasons()
        seasons.draw(2021, scene(NOTHING, hidden))
        assert events(seasons.draw(2022, scene(LAKE))) == expected


def test_a_rerun_keeps_new_and_split() -> None:
    seasons = Seasons()
    seasons.draw(2021, scene(LAKE))
    parted = scene(mask((5, 5, 10, 11), (5, 18, 10, 7), (25, 5, 6, 6)))
    first = seasons.draw(2022, parted)
    assert events(first) == ["new", "split"]
    again = seasons.draw(2022, parted)
    assert again.lineage.equals(first.lineage) and again.lakes.empty
    assert list(again.observations.lake_id) == list(first.observations.lake_id)


def test_a_lake_half_in_view_is_not_compared() -> None:
    """The visible half is smaller than the lake was. That is not a loss."""
    seasons = Seasons()
    seasons.draw(2021, scene(LAKE))
    rows = seasons.draw(2022, scene(LAKE, hidden=mask((0, 15, SIDE, 21))))
    assert outcomes(rows) == [("water", None)] and rows.flags.empty
    assert rows.observations.seen_share[0] < 0.6


def test_a_large_loss_is_flagged_a_small_one_not() -> None:
    for width, kinds in ((10, ["lost water"]), (18, [])):
        seasons = Seasons()
        seasons.draw(2021, scene(LAKE))
        rows = seasons.draw(2022, scene(mask((5, 5, 10, width))))
        assert list(rows.flags.kind) == kinds and events(rows) == []


def test_the_error_combines_shoreline_and_doubt() -> None:
    """10 x 20 pixels and two around them, each with a doubt of 0.05. The factor scales both terms."""
    (row,) = Seasons().draw(2021, scene(LAKE, uncertainty=0.05), area_factor=1.5).observations.itertuples()
    assert row.sigma_shore_m2 == pytest.approx(0.6872 * 60 * 50)
    assert row.sigma_model_m2 == pytest.approx(14 * 24 * 0.05 * 100, rel=1e-4)
    assert row.sigma_m2 == pytest.approx(1.5 * np.hypot(row.sigma_shore_m2, row.sigma_model_m2))
    knots = ((1e3, 3.0), (1e6, 1.0))
    (sized,) = (
        Seasons().draw(2021, scene(LAKE, uncertainty=0.05), area_factor=knots).observations.itertuples()
    )
    factor = float(factor_at(knots, 20_000))
    assert sized.sigma_m2 == pytest.approx(factor / 1.5 * row.sigma_m2, rel=1e-3), "by the mapped area"
    assert (sized.sigma_shore_m2, sized.sigma_model_m2) == (row.sigma_shore_m2, row.sigma_model_m2)


def test_doubt_about_both_parts_of_a_lake_under_a_cloud_counts() -> None:
    seasons = Seasons()
    seasons.draw(2021, scene(LAKE))
    (row,) = seasons.draw(
        2022, scene(LAKE, hidden=mask((0, 12, SIDE, 6)), uncertainty=0.05)
    ).observations.itertuples()
    assert row.sigma_model_m2 == pytest.approx(14 * (24 - 6) * 0.05 * 100, rel=1e-4)


def test_a_loss_within_the_models_doubt_is_not_flagged() -> None:
    """Half of the lake is gone, but within the model's doubt in either season."""
    for before, after, kinds in ((0.0, 0.0, ["lost water"]), (0.3, 0.0, []), (0.0, 0.3, [])):
        seasons = Seasons()
        seasons.draw(2021, scene(LAKE, uncertainty=before))
        rows = seasons.draw(2022, scene(mask((5, 5, 10, 10)), uncertainty=after))
        assert list(rows.flags.kind) == kinds


def test_two_regions_that_share_a_lake_do_not_break_the_comparison() -> None:
    """The neighbouring region's survey of the same season has its own row of the lake."""
    seasons = Seasons()
    rows = seasons.draw(2021, scene(LAKE))
    seasons.history.record(rows, 2021, SurveyKind.INVENTORY)
    for entry in seasons.history.observations:
        entry["kind"] = SurveyKind.MODEL
    assert len(seasons.history.prior(2022).observations) == 2
    after = seasons.draw(2022, scene(NOTHING))
    assert events(after) == ["drained"] and list(after.flags.kind) == ["drained"]


def test_a_lake_of_the_neighbouring_region_has_no_row() -> None:
    """A known lake beyond the region's edge gets no row in this survey."""
    seasons = Seasons()
    seasons.draw(2021, scene(LAKE))
    outside = scene(NOTHING, hidden=mask((0, 0, SIDE, SIDE)), cause=Reason.OUTSIDE)
    assert seasons.draw(2022, outside).observations.empty
    elsewhere = cut(NOTHING, 18, row=600_012, col=50_400)
    assert seasons.draw(2023, elsewhere).observations.empty


def test_lakes_outside_the_zone_are_left_out() -> None:
    rows = Seasons().draw(2021, scene(LAKE | mask((25, 20, 8, 8))), zone=pixels(20, 0, 16, 36))
    assert len(rows.observations) == 1 and rows.observations.geometry[0].intersects(pixels(25, 20, 8, 8))


def test_disagreement_is_flagged() -> None:
    index = np.where(LAKE, Index.DRY, Index.DRY).astype(np.uint8)
    rows = Seasons().draw(2021, scene(LAKE, size=SIDE, index=index))
    assert list(rows.flags.kind) == ["model water, index dry"] and rows.flags.tile[0].startswith("32643_36_")


@pytest.mark.parametrize(("before", "flagged"), [(SurveyKind.INDEX, ["lost water"]), (SurveyKind.MODEL, [])])
def test_an_index_survey_is_compared_with_earlier_index_surveys_only(
    before: SurveyKind, flagged: list[str]
) -> None:
    """No disagreement with the index is flagged; a loss is, if the earlier survey is of the same kind."""
    first, past = Seasons().draw(2021, scene(LAKE)), History()
    past.record(first, 2021, before)
    maps = scene(mask((5, 5, 10, 10)), index=np.full((SIDE, SIDE), Index.DRY, np.uint8))
    previous = [season_of(scene(LAKE))]
    prior = past.prior(2022, before, counts=before == SurveyKind.INDEX)
    rows = draft_season(
        season_of(maps),
        region(),
        2022,
        prior,
        previous,
        smallest_m2=SMALLEST,
        sets=FULL,
        kind=SurveyKind.INDEX,
    )
    assert list(rows.flags.kind) == flagged


def test_a_season_that_lost_most_water_gets_one_flag_and_no_drainage_alarms() -> None:
    seasons = Seasons()
    pond = mask((22, 5, 8, 10))
    seasons.draw(2021, scene(LAKE | pond))
    rows = seasons.draw(2022, scene(NOTHING))
    assert rows.suspect is not None and rows.suspect.startswith("100% of the water is gone")
    assert list(rows.flags.kind) == ["suspect season"] and events(rows) == []
    assert rows.flags.score[0] == pytest.approx(2.8, rel=0.01), "hectares in question"
    assert {outcome for outcome, _ in outcomes(rows)} == {"not observed"}
    assert all(reason == f"suspect season: {rows.suspect}" for _, reason in outcomes(rows))
    back = seasons.draw(2023, scene(LAKE | pond))
    assert back.suspect is None and events(back) == [] and len(back.lakes) == 0


def test_one_drained_lake_does_not_make_a_season_suspect() -> None:
    seasons = Seasons()
    seasons.draw(2021, scene(LAKE | mask((22, 5, 8, 10))))
    rows = seasons.draw(2022, scene(mask((22, 5, 8, 10))))
    assert rows.suspect is None and list(rows.flags.kind) == ["drained"]


def test_the_same_rows_have_the_same_digest() -> None:
    first, second = (Seasons().draw(2021, scene(LAKE | mask((22, 5, 8, 10)))) for _ in range(2))
    other = Seasons().draw(2021, scene(LAKE | mask((22, 5, 8, 11))))
    upside_down = first.with_observations(first.observations.iloc[::-1].reset_index(drop=True))
    assert first.digest == second.digest == upside_down.digest != other.digest


def test_every_lake_once_and_every_absence_with_a_reason() -> None:
    rng = np.random.default_rng(3)
    seasons = Seasons()
    for season in range(2018, 2024):
        boxes = [(*rng.integers(0, 26, 2), *rng.integers(3, 10, 2)) for _ in range(4)]
        hidden = mask((*rng.integers(0, 20, 2), 12, 12)) if season % 2 else None
        rows = seasons.draw(season, scene(mask(*boxes), hidden))
        observations = rows.observations
        assert observations.lake_id.is_unique
        assert observations.seen_share.between(0, 1).all()
        absent = observations[observations.outcome != Outcome.WATER]
        assert absent.reason.notna().all() and absent.geometry.isna().all()
        there = observations[observations.outcome == Outcome.WATER]
        assert there.geometry.is_valid.all() and there.first_day.notna().all()
        parents = rows.lineage[rows.lineage.kind.isin([LineageKind.SPLIT, LineageKind.MERGED])]
        assert parents.other_lake_id.isin(there.lake_id).all()
        assert pd.Series(rows.lakes.id).isin(there.lake_id).all()
