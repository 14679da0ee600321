"""Seasons of different sensors in the database: the views, and their agreement with the steps in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from sqlalchemy import Connection, text

from monitor.history.record import SurveyInputs, record, survey_state
from monitor.history.season import draft_season
from monitor.lakes.change import Verdict, compare, last_observations
from storage import history, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.prior import SurveyKey, prior_surveys
from tests.monitor.history.test_draft import LAKE, NOTHING, SMALLEST, mask
from tests.monitor.history.test_sensors import ALL, EAST, NO_RADAR, POND, RADAR, SETS, seen_by
from tests.support.scenery import region, season_of

SMALLER = mask((5, 5, 10, 19), (25, 5, 6, 8))


def survey(conn: Connection, season: int, maps: Any, past: dict[int, Any]) -> None:
    """Draft a season from the database's prior surveys, and record it."""
    inputs = SurveyInputs(SurveyKey("test", season, SurveyKind.MODEL, "m 1"), "sha256:m")
    state = survey_state(conn, inputs)
    previous = [season_of(past[other]) for other in sorted(past, reverse=True) if other < season]
    draft = draft_season(
        season_of(maps),
        region(),
        season,
        prior_surveys(conn, inputs.key, replaced=state.replaced),
        previous,
        smallest_m2=SMALLEST,
        sets=SETS,
    )
    record(conn, state, draft)
    past[season] = maps


def recorded(database: Database, seasons: dict[int, Any]) -> None:
    with database.begin() as conn:
        registry.upsert_region(conn, "test", shapely.MultiPolygon([shapely.box(70, 40, 80, 45)]))
        past: dict[int, Any] = {}
        for season, maps in seasons.items():
            survey(conn, season, maps, past)


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connect() as conn:
        return [dict(row) for row in conn.execute(text(query)).mappings()]


@pytest.mark.parametrize("code", [NO_RADAR, RADAR])
def test_a_season_of_fewer_sensors_is_no_change_in_any_view(database: Database, code: int) -> None:
    water = LAKE | POND
    seasons = {
        2020: seen_by(water),
        2021: seen_by(water),
        2022: seen_by(SMALLER, np.where(EAST, code, ALL)),
        2023: seen_by(SMALLER, code),
        2024: seen_by(water),
    }
    recorded(database, seasons)
    changes = rows(database, "SELECT * FROM lake_change_yearly ORDER BY lake_id, season")
    assert [row["verdict"] for row in changes] == [Verdict.SAME] * 8
    assert rows(database, "SELECT * FROM lake_drainage") == rows(database, "SELECT * FROM lake_events") == []
    assert rows(database, "SELECT * FROM review_queue") == []
    assert len(rows(database, "SELECT * FROM lake")) == 2
    seen = rows(database, "SELECT season, sensors FROM lake_area_history ORDER BY season")
    assert {row["sensors"] for row in seen if row["season"] == 2023} == {
        {NO_RADAR: "S2L2A+DEM", RADAR: "S1+DEM"}[code]
    }
    trends = rows(database, "SELECT seasons FROM lake_trend")
    assert [row["seasons"] for row in trends] == [5, 5], "all seasons saw both lakes whole"
    # the wider error of fewer sensors is part of that of the change
    largest = max(row["sigma_m2"] for row in changes if row["season"] == 2021)
    wide = [row["sigma_m2"] for row in changes if row["season"] in (2023, 2024)]
    assert min(wide) > 0.5 * largest and max(wide) > largest


def test_a_lake_that_radar_misses_is_compared_with_the_season_before(database: Database) -> None:
    seasons = {2021: seen_by(LAKE), 2022: seen_by(NOTHING, RADAR), 2023: seen_by(mask((5, 5, 10, 9)))}
    recorded(database, seasons)
    changes = rows(database, "SELECT season_from, season, verdict FROM lake_change_yearly ORDER BY season")
    assert [(row["season_from"], row["season"], row["verdict"]) for row in changes] == [
        (2021, 2022, Verdict.NOT_OBSERVED),
        (2021, 2023, Verdict.SHRUNK),
    ]
    (lost,) = rows(database, "SELECT season_from, season_to, verdict FROM lake_drainage")
    assert (lost["season_from"], lost["season_to"]) == (2021, 2023)


def test_a_lake_that_only_radar_has_seen_has_no_drainage(database: Database) -> None:
    recorded(database, {2021: seen_by(LAKE | POND, RADAR), 2022: seen_by(LAKE), 2023: seen_by(LAKE)})
    assert rows(database, "SELECT * FROM lake_drainage") == rows(database, "SELECT * FROM lake_events") == []
    assert rows(database, "SELECT * FROM review_queue") == []
    why = rows(database, "SELECT DISTINCT reason FROM lake_area_history WHERE outcome = 'not observed'")
    assert [row["reason"] for row in why] == ["dry ground; water to radar alone before"]


@pytest.mark.parametrize("season", [2022, 2023, 2024])
def test_views_and_python_agree_on_changes_between_sensors(database: Database, season: int) -> None:
    water = LAKE | POND | mask((20, 20, 8, 10))
    seasons = {
        2021: seen_by(water),
        2022: seen_by(LAKE | POND, RADAR),
        2023: seen_by(mask((5, 5, 10, 10), (25, 5, 6, 8)), np.where(EAST, RADAR, NO_RADAR)),
        2024: seen_by(mask((5, 5, 10, 18), (20, 20, 8, 10))),
    }
    recorded(database, seasons)
    with database.connect() as conn:
        frames = [
            history.observations_of(conn, "test", year).assign(season=year, suspect=False) for year in seasons
        ]
        lineage = history.lineage(conn, "test")
        query = text("SELECT * FROM lake_change('test', NULL, :season)")
        found = {row.lake_id: row for row in conn.execute(query, {"season": season})}
    before = last_observations(
        pd.concat([frame for frame in frames if frame.season.iloc[0] < season], ignore_index=True),
        lineage[lineage.season < season],
    )
    (after,) = (frame for frame in frames if frame.season.iloc[0] == season)
    expected = compare(before, after.set_index("lake_id"), lineage[lineage.season <= season])
    assert set(found) == set(expected.index) and len(found) == 3
    for lake, row in expected.iterrows():
        assert found[lake].verdict == row.verdict
        for name in ("area_before_m2", "area_after_m2", "change_m2", "sigma_m2"):
            value = getattr(found[lake], name)
            assert (np.nan if value is None else value) == pytest.approx(row[name], nan_ok=True)
