"""Seasons that were seen by different sensors: no false change, no false event, no lake that is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.history.draft import SurveyDraft
from segmenter.manifest import SensorSet
from storage.codes import Index, Outcome
from tests.monitor.history.test_draft import LAKE, NOTHING, SIDE, Seasons, events, mask, outcomes, scene
from tests.support.sensor_sets import FEWER, sensor_set

ALL, NO_RADAR, NO_DEM, OPTICAL, RADAR = 7, 5, 3, 1, 6
#: wider intervals with fewer sensors
SETS: tuple[SensorSet, ...] = (
    FEWER[0],
    sensor_set("S2L2A+DEM", area_factor=1.2),
    sensor_set("S2L2A+S1", area_factor=1.2),
    sensor_set("S2L2A", area_factor=1.5),
    sensor_set("S1+DEM", area_factor=4.0),
)
EAST = mask((0, SIDE // 2, SIDE, SIDE // 2))
POND = mask((25, 5, 6, 8))


def seen_by(water: np.ndarray, sensors: np.ndarray | int = ALL, **layers: Any) -> Any:
    """A season in which each pixel was seen by some sensors; the index needs optics."""
    sources = np.broadcast_to(np.uint8(sensors), water.shape).copy()
    optical = (sources & 1) > 0
    index = np.where(optical, np.where(water, Index.WATER, Index.DRY), Index.NODATA).astype(np.uint8)
    days = np.where(optical, 230, 0).astype(np.int16)
    return scene(water, sources=sources, index=index, day_of_year=days, **layers)


class Mixed(Seasons):
    """Surveys with a model that is validated for fewer sensors."""

    def draw(self, season: int, maps: Any, **wanted: Any) -> SurveyDraft:
        return super().draw(season, maps, sets=SETS, **wanted)


def rows_of(draft: SurveyDraft) -> dict[str, Any]:
    (row,) = draft.observations.to_dict("records")
    return row


@pytest.mark.parametrize(
    ("code", "name", "factor"),
    [
        (ALL, "S2L2A+S1+DEM", 1.0),
        (NO_RADAR, "S2L2A+DEM", 1.2),
        (OPTICAL, "S2L2A", 1.5),
        (RADAR, "S1+DEM", 4.0),
    ],
)
def test_an_observation_names_its_sensors_and_has_their_error(code: int, name: str, factor: float) -> None:
    row = rows_of(Mixed().draw(2021, seen_by(LAKE, code, uncertainty=0.05)))
    assert (row["outcome"], row["sensors"]) == (Outcome.WATER, name)
    assert row["sigma_m2"] == pytest.approx(factor * np.hypot(row["sigma_shore_m2"], row["sigma_model_m2"]))
    assert row["seen_share"] == 1
    assert (row["first_day"] is None, row["last_day"] is None) == (code == RADAR, code == RADAR)


def test_the_error_of_a_lake_of_two_sets_is_between_theirs() -> None:
    """The lake has 20 columns, 13 of them in the west."""
    sensors = np.where(EAST, RADAR, ALL)
    row = rows_of(Mixed().draw(2021, seen_by(LAKE, sensors)))
    assert row["sensors"] == "S2L2A+S1+DEM" and row["first_day"] is not None
    assert row["sigma_m2"] == pytest.approx((13 * 1 + 7 * 4) / 20 * row["sigma_shore_m2"])


@pytest.mark.parametrize("code", [NO_RADAR, NO_DEM, OPTICAL, RADAR])
@pytest.mark.parametrize("cells", [slice(None), EAST], ids=["everywhere", "in the east"])
def test_a_season_between_of_fewer_sensors_changes_nothing(code: int, cells: Any) -> None:
    """A little smaller to fewer sensors, within the error. No event, no flag, the same identities."""
    seasons, water = Mixed(), LAKE | POND
    first = seasons.draw(2021, seen_by(water))
    sensors = np.full(water.shape, ALL)
    sensors[cells] = code
    eroded = mask((5, 5, 10, 19), (25, 5, 6, 8))
    drafts = [seasons.draw(2022, seen_by(eroded, sensors)), seasons.draw(2023, seen_by(water))]
    for draft in drafts:
        assert outcomes(draft) == [("water", None)] * 2
        assert list(draft.observations.lake_id) == list(first.observations.lake_id)
        assert events(draft) == [] and draft.flags.empty and draft.lakes.empty and draft.suspect is None
        assert (draft.observations.seen_share >= 0.9).all()


def test_a_lake_that_radar_misses_is_not_observed_and_not_lost() -> None:
    seasons = Mixed()
    (lake,) = seasons.draw(2021, seen_by(LAKE)).observations.lake_id
    for season in (2022, 2023):
        draft = seasons.draw(season, seen_by(NOTHING, RADAR))
        assert outcomes(draft) == [("not observed", "no water to radar alone")]
        assert rows_of(draft)["sensors"] is None and rows_of(draft)["seen_share"] == 0
        assert events(draft) == [] and draft.flags.empty and draft.suspect is None
    back = seasons.draw(2024, seen_by(LAKE))
    assert list(back.observations.lake_id) == [lake] and events(back) == [] and back.flags.empty


def test_a_season_of_radar_that_misses_most_lakes_is_not_suspect() -> None:
    """Three lakes, of which radar sees one. The two others are not observed, so the season lost nothing."""
    seasons, water = Mixed(), mask((2, 2, 8, 8), (2, 20, 8, 8), (20, 2, 8, 8))
    seasons.draw(2021, seen_by(water))
    draft = seasons.draw(2022, seen_by(mask((2, 2, 8, 8)), RADAR))
    assert sorted(map(str, outcomes(draft))) == sorted(
        map(str, [("water", None), *[("not observed", "no water to radar alone")] * 2])
    )
    assert draft.suspect is None and draft.flags.empty and events(draft) == []


def test_a_lake_that_drained_is_reported_by_the_season_that_saw_it_dry() -> None:
    seasons = Mixed()
    seasons.draw(2021, seen_by(LAKE))
    unseen = seasons.draw(2022, seen_by(NOTHING, RADAR))
    assert events(unseen) == [] and unseen.flags.empty
    dry = seasons.draw(2023, seen_by(NOTHING, NO_RADAR))
    assert outcomes(dry) == [("dry", "seen dry")] and events(dry) == ["drained"]
    assert rows_of(dry)["sensors"] == "S2L2A+DEM"
    assert list(dry.flags.kind) == ["drained"]


def test_the_part_that_radar_does_not_see_is_not_lost() -> None:
    """The west is clear, the east is cloudy and dry to radar: the lake was seen in part."""
    seasons = Mixed()
    (lake,) = seasons.draw(2021, seen_by(LAKE)).observations.lake_id
    draft = seasons.draw(2022, seen_by(LAKE & ~EAST, np.where(EAST, RADAR, ALL)))
    row = rows_of(draft)
    assert row["lake_id"] == lake and row["outcome"] == Outcome.WATER and row["seen_share"] < 0.9
    assert draft.flags.empty and events(draft) == [] and draft.suspect is None
    again = seasons.draw(2023, seen_by(LAKE))
    assert events(again) == [] and again.flags.empty


def test_a_lake_in_two_pieces_to_radar_has_not_split() -> None:
    seasons = Mixed()
    (lake,) = seasons.draw(2021, seen_by(LAKE)).observations.lake_id
    draft = seasons.draw(2022, seen_by(mask((5, 5, 10, 9), (5, 16, 10, 9)), RADAR))
    assert list(draft.observations.lake_id) == [lake] and events(draft) == [] and draft.lakes.empty
    again = seasons.draw(2023, seen_by(LAKE))
    assert list(again.observations.lake_id) == [lake] and events(again) == []


def test_a_change_beyond_both_errors_is_found_between_different_sensors() -> None:
    """Half of the lake is gone. The error of a lake seen by radar is four times as wide."""
    for first, second, kinds in ((ALL, NO_RADAR, ["lost water"]), (ALL, RADAR, []), (RADAR, ALL, [])):
        seasons = Mixed()
        seasons.draw(2021, seen_by(LAKE, first, uncertainty=0.05))
        draft = seasons.draw(2022, seen_by(mask((5, 5, 10, 10)), second, uncertainty=0.05))
        assert list(draft.flags.kind) == kinds
        assert outcomes(draft) == [("water", None)]


def test_a_first_season_of_radar_finds_lakes_that_a_later_one_does_not_drain() -> None:
    """Water to radar alone may be wet ground: optics that sees it dry later has not seen a lake drain."""
    seasons = Mixed()
    first = seasons.draw(2021, seen_by(LAKE | POND, RADAR))
    assert outcomes(first) == [("water", None)] * 2 and events(first) == [] and first.flags.empty
    draft = seasons.draw(2022, seen_by(LAKE))
    reasons = {row.outcome: row.reason for row in draft.observations.itertuples()}
    assert reasons == {"water": None, "not observed": "dry ground; water to radar alone before"}
    assert set(draft.observations.lake_id) == set(first.observations.lake_id)
    assert events(draft) == [] and draft.flags.empty and draft.suspect is None
    dry = seasons.draw(2023, seen_by(NOTHING))
    assert events(dry) == ["drained"] and list(dry.flags.kind) == ["drained"], "of the confirmed one"


def test_new_water_to_radar_alone_is_a_flag_and_no_lake() -> None:
    """The ground was dry to optics. The next season of optics decides; a lake that it sees is new then."""
    for later, kinds in ((LAKE | POND, ["new"]), (LAKE, [])):
        seasons = Mixed()
        (lake,) = seasons.draw(2021, seen_by(LAKE)).observations.lake_id
        draft = seasons.draw(2022, seen_by(LAKE | POND, RADAR))
        assert list(draft.observations.lake_id) == [lake] and events(draft) == [] and draft.lakes.empty
        (flag,) = draft.flags.itertuples()
        assert (flag.kind, flag.lake_id, flag.explained) == ("new water to radar alone", None, False)
        assert flag.score == pytest.approx(0.48, rel=0.01)
        after = seasons.draw(2023, seen_by(later))
        assert events(after) == kinds and list(after.flags.kind) == kinds


def test_a_drained_lake_has_not_come_back_by_radar_alone() -> None:
    """The next season of optics decides: the lake is back, or has been dry all the time."""
    for later, outcome, kinds in ((LAKE, "water", ["reappeared"]), (NOTHING, "dry", [])):
        seasons = Mixed()
        (lake,) = seasons.draw(2020, seen_by(LAKE)).observations.lake_id
        assert events(seasons.draw(2021, seen_by(NOTHING))) == ["drained"]
        draft = seasons.draw(2022, seen_by(LAKE, RADAR))
        assert outcomes(draft) == [("not observed", "water to radar alone; dry ground before")]
        assert events(draft) == [] and draft.lakes.empty
        (flag,) = draft.flags.itertuples()
        assert (flag.kind, flag.lake_id) == ("new water to radar alone", lake)
        after = seasons.draw(2023, seen_by(later))
        assert rows_of(after)["lake_id"] == lake and rows_of(after)["outcome"] == outcome
        assert events(after) == kinds and list(after.flags.kind) == kinds


def test_without_optics_there_is_no_disagreement_with_the_index() -> None:
    seasons = Mixed()
    seasons.draw(2021, seen_by(LAKE))
    draft = seasons.draw(2022, seen_by(LAKE, RADAR, size=SIDE))
    assert draft.flags.empty


def test_the_digest_of_a_survey_without_sensors_is_that_of_before() -> None:
    """Inventories and surveys of earlier versions have no value in the column."""
    draft = Mixed().draw(2021, seen_by(LAKE))
    other = Mixed().draw(2021, seen_by(LAKE))
    of_before = draft.with_observations(draft.observations.drop(columns="sensors"))
    empty = other.with_observations(other.observations.assign(sensors=None))
    assert of_before.digest == empty.digest != draft.digest
