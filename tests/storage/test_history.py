"""The lake history: one transaction, idempotent recording, current and superseded surveys, invalid rows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyproj import Geod
from shapely import MultiPolygon, Polygon, box
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage import history, ledger, registry, reviews
from storage.codes import SurveyKind, TaskState
from storage.database import Database
from storage.errors import StorageError
from storage.prior import prior_surveys
from storage.recording import record_survey
from storage.status import ReasonCount, status

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("survey", "lake", "lake_observation", "lake_lineage", "review_flag")


def counts(database: Database) -> dict[str, int]:
    with database.connect() as conn:
        return {table: conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES}


def record(conn, world, survey, *lakes, observations=None, lineage=(), flags=None, tasks=()):
    return record_survey(
        conn,
        survey,
        world.water(*lakes) if observations is None else observations,
        lakes=world.lakes(*lakes),
        lineage=world.lineage(*lineage),
        flags=flags,
        done_tasks=[task.key for task in tasks],
    )


def not_observed(world, *lakes, outcome="not observed", reason="cloud") -> gpd.GeoDataFrame:
    rows = {"lake_id": [world.uuid("lake", n) for n in lakes], "outcome": outcome, "reason": reason}
    return gpd.GeoDataFrame(rows, geometry=[None] * len(lakes), crs=4326)


def test_recorded_rows_are_read_back(database: Database, world) -> None:
    with database.begin() as conn:
        assert record(conn, world, world.survey(), 1, 2, lineage=[("new", 1, None), ("split", 2, 1)])
        back = history.observations_of(conn, "demo", 2021).set_index("lake_id").loc[world.uuid("lake", 1)]
        lineage = history.lineage(conn, "demo")
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(world.square(1))
    assert back.area_m2 == pytest.approx(abs(area), rel=1e-6)
    assert back.geometry.equals(MultiPolygon([world.square(1)]))
    assert (back.sigma_m2, back.seen_share, back.elevation_m) == (900.0, 0.9, 3600.0)
    assert (back.sigma_shore_m2, back.sigma_model_m2) == (540.0, 720.0)
    assert (str(back.first_day), str(back.last_day)) == ("2021-07-20", "2021-08-30")
    assert lineage[["kind", "lake_id", "other_lake_id"]].values.tolist() == [
        ["new", world.uuid("lake", 1), None],
        ["split", world.uuid("lake", 2), world.uuid("lake", 1)],
    ]


def test_the_same_survey_twice_changes_nothing(database: Database, world) -> None:
    task = world.task("a")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [task])
        assert record(conn, world, world.survey(), 1, 2, flags=world.flags(0.7), tasks=[task])
        before = ledger.tasks(conn)
    first = counts(database)
    with database.begin() as conn:
        assert not record(conn, world, world.survey(), 1, 2, flags=world.flags(0.7), tasks=[task])
        assert ledger.tasks(conn) == before
    assert counts(database) == first == dict(zip(TABLES, (1, 2, 2, 0, 1), strict=True))


def test_a_better_survey_supersedes_and_the_earlier_one_stays(database: Database, world) -> None:
    first, second = world.survey(name="first"), world.survey(name="second")
    with database.begin() as conn:
        record(conn, world, first, 1, 2)
        record(conn, world, second, 2, 3)
        current = history.observations_of(conn, "demo", 2021)
        kept = conn.execute(text("SELECT survey_id, count(*) FROM lake_observation GROUP BY 1"))
        assert dict(map(tuple, kept)) == {first.id: 2, second.id: 2}
    assert set(current["lake_id"]) == {world.uuid("lake", 2), world.uuid("lake", 3)}


def test_a_superseded_survey_recorded_again_is_current_again(database: Database, world) -> None:
    first, second = world.survey(name="first"), world.survey(name="second")
    with database.begin() as conn:
        record(conn, world, first, 1)
        record(conn, world, second, 2)
        assert record(conn, world, first, 1)
        table = history.surveys(conn, "demo").set_index("id")
    assert table["current"].to_dict() == {first.id: True, second.id: False}
    assert table.loc[second.id, "superseded_by"] == first.id
    assert counts(database)["lake_observation"] == 2


def test_inventories_and_model_surveys_are_kept_side_by_side(database: Database, world) -> None:
    hkh = world.survey(kind=SurveyKind.INVENTORY)
    other = history.Survey(world.uuid("other"), "demo", 2021, SurveyKind.INVENTORY, "other.gpkg", "sha256:f")
    with database.begin() as conn:
        for survey in (hkh, other, world.survey()):
            record(conn, world, survey, 1)
        assert history.surveys(conn, "demo")["current"].all()
        assert history.history(conn, world.uuid("lake", 1))["source"].tolist() == [
            "source model",
            "other.gpkg",
            "source inventory",
        ]
        one = conn.execute(text("SELECT kind, count(*) OVER () FROM lake_area_history")).one()
    assert tuple(one) == ("model", 1)


def test_not_observed_is_neither_area_zero_nor_dry(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, world.survey(2021), 1)
        record(conn, world, world.survey(2022), observations=not_observed(world, 1))
        record(
            conn,
            world,
            world.survey(2023),
            observations=not_observed(world, 1, outcome="dry", reason="dry bed"),
        )
        past = history.history(conn, world.uuid("lake", 1))
        (lake,) = history.lakes(conn, like="gl0000").to_dict("records")
    assert past["outcome"].tolist() == ["water", "not observed", "dry"]
    assert np.isnan(past["area_m2"].astype(float)).tolist() == [False, True, True]
    assert past["reason"].tolist() == [None, "cloud", "dry bed"]
    assert (lake["first_season"], lake["last_season"], lake["seasons"]) == (2021, 2023, 1)
    assert lake["area_m2"] == past["area_m2"][0]
    assert (lake["outcome"], lake["outcome_season"], lake["area_season"]) == ("dry", 2023, 2021)


def test_the_outcome_is_the_latest_answer(database: Database, world) -> None:
    """A later season in which the lake was not observed does not hide it."""
    with database.begin() as conn:
        record(conn, world, world.survey(2021), 1)
        record(conn, world, world.survey(2022), observations=not_observed(world, 1))
        (lake,) = history.lakes(conn, "demo").to_dict("records")
    assert (lake["outcome"], lake["outcome_season"], lake["last_season"]) == ("water", 2021, 2022)


def test_areas_are_shown_with_their_interval(database: Database, world) -> None:
    """95 %, not below 0; none without an error or an area. The same in every view."""
    lakes = [world.uuid("lake", n) for n in (1, 2, 3, 4)]
    water = world.water(1, 2, 3)
    water["sigma_m2"] = [1000.0, 1e6, np.nan]
    rows = pd.concat([water, not_observed(world, 4)])
    with database.begin() as conn:
        record(conn, world, world.survey(), 1, 2, 3, 4, observations=rows)
        read = {
            "view": pd.read_sql(text("SELECT * FROM lake_area_history"), conn).set_index("lake_id"),
            "season": history.observations_of(conn, "demo", 2021).set_index("lake_id"),
            "history": pd.concat([history.history(conn, lake) for lake in lakes], keys=lakes).droplevel(1),
            "list": history.lakes(conn).set_index("lake_id"),
        }
    for name, frame in read.items():
        area, low, high = (
            frame[column].astype(float)[lakes].to_numpy()
            for column in ("area_m2", "area_low_m2", "area_high_m2")
        )
        assert low[:2] == pytest.approx([area[0] - 1960, 0]), name
        assert high[:2] == pytest.approx([area[0] + 1960, area[1] + 1.96e6]), name
        assert np.isnan(low[2:]).all() and np.isnan(high[2:]).all(), name


def test_seasons_are_recorded_in_any_order(database: Database, world) -> None:
    with database.begin() as conn:
        for season in (2023, 2021, 2022):
            record(conn, world, world.survey(season), 1)
        assert history.history(conn, world.uuid("lake", 1))["season"].tolist() == [2021, 2022, 2023]


def test_lakes_of_a_neighbouring_region_that_overlap_are_included(database: Database, world) -> None:
    with database.begin() as conn:
        registry.upsert_region(conn, "next door", MultiPolygon([box(76.8, 41.9, 77.5, 44.0)]))
        neighbour = history.Survey(world.uuid("nb"), "next door", 2021, SurveyKind.MODEL, "m", "sha256:abc")
        record(conn, world, neighbour, 1)
        prior = [prior_surveys(conn, world.survey(season).key).observations for season in (2021, 2022)]
    assert [set(frame.lake_id) for frame in prior] == [set(), {world.uuid("lake", 1)}], "earlier seasons only"
    assert prior[1].geometry.notna().all() and prior[1].earlier.all() and prior[1].reliable.all()


BOW_TIE = Polygon([(77, 42), (77.01, 42.01), (77.01, 42), (77, 42.01)])


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("geometry", BOW_TIE, "geom_sound"),
        ("geometry", None, "lake_observation_geom"),
        ("geometry", Polygon([(4e5, 4.6e6), (4.1e5, 4.6e6), (4.1e5, 4.7e6)]), "geom_sound"),
        ("outcome", "wet", "outcome|reason"),
        ("outcome", "dry", "reason"),
        ("sigma_m2", -1.0, "sigma_m2"),
        ("sigma_m2", np.inf, "sigma_m2"),
        ("sigma_shore_m2", -1.0, "sigma_shore_m2"),
        ("sigma_model_m2", -1.0, "sigma_model_m2"),
        ("sigma_model_m2", np.inf, "sigma_model_m2"),
        ("seen_share", 1.2, "seen_share"),
        ("last_day", pd.Timestamp("2020-01-01"), "days"),
        ("elevation_m", 9_500.0, "elevation"),
    ],
)
def test_invalid_rows_are_refused_and_nothing_is_kept(database: Database, world, column, value, rule) -> None:
    bad = world.water(1, 2)
    bad[column] = [bad[column].iloc[0], value]
    if column == "outcome":
        bad.geometry = [bad.geometry.iloc[0], None]
    with pytest.raises(StorageError, match=f"refused a row by ck_.*{rule}"), database.begin() as conn:
        record(conn, world, world.survey(), 1, 2, observations=bad)
    assert set(counts(database).values()) == {0}


def test_wrong_frames_are_named(database: Database, world) -> None:
    for frame, message in (
        (world.water(1).to_crs(32643), r"EPSG:32643.*to_crs\(4326\)"),
        (world.water(1).set_crs(None, allow_override=True), "no CRS"),
        (world.water(1).assign(sigma=3.0), "no column sigma"),
        (pd.concat([world.water(1), world.water(1)]), "refused a row by (uq|pk)_lake_observation"),
        (world.water(9), "refused a row by fk_lake_observation_lake_id"),
    ):
        with pytest.raises(StorageError, match=message), database.begin() as conn:
            record(conn, world, world.survey(), 1, observations=frame)
    assert set(counts(database).values()) == {0}


def test_an_empty_survey_is_recorded(database: Database, world) -> None:
    with database.begin() as conn:
        assert record(conn, world, world.survey(), observations=world.water())
        assert len(history.observations_of(conn, "demo", 2021)) == 0
        assert len(prior_surveys(conn, world.survey(2022).key).observations) == 0


@pytest.mark.parametrize("table", ["lake", "lake_observation", "lake_lineage", "review_flag", "survey"])
def test_the_history_is_append_only(database: Database, world, table: str) -> None:
    with database.begin() as conn:
        record(conn, world, world.survey(), 1, lineage=[("new", 1, None)], flags=world.flags(0.7))
    change = {"survey": "season = 2020", "lake": "code = 'x'", "review_flag": "score = 0"}.get(
        table, "season = 2020"
    )
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {change}", f"TRUNCATE {table} CASCADE"):
        with (
            pytest.raises(IntegrityError, match="rows of the history are append-only"),
            database.begin() as conn,
        ):
            conn.execute(text(statement))


def test_a_survey_is_superseded_only_by_one_of_its_region_and_season(database: Database, world) -> None:
    with database.begin() as conn:
        record(conn, world, world.survey(2021), 1)
        record(conn, world, world.survey(2022), 1)
    with pytest.raises(IntegrityError, match="fk_survey_superseded_by"), database.begin() as conn:
        conn.execute(
            text("UPDATE survey SET superseded_by = :other WHERE season = 2021"),
            {"other": world.survey(2022).id},
        )


KILLED = """
import sys, time
sys.path[:0] = sys.argv[2:4]
from tests.storage.conftest import World
from storage.database import Database
from storage.recording import record_survey
world, database = World(), Database(sys.argv[1])
with database.begin() as conn:
    record_survey(conn, world.survey(name="new"), world.water(2, 3), lakes=world.lakes(2, 3),
        lineage=world.lineage(("new", 3, None)), flags=world.flags(0.7), done_tasks=[world.task("a").key])
    print("written, not committed", flush=True)
    time.sleep(60)
"""


def test_kill_9_leaves_the_last_complete_state_and_the_next_run_finishes(database: Database, world) -> None:
    task = world.task("a")
    with database.begin() as conn:
        ledger.plan_tasks(conn, [task])
        record(conn, world, world.survey(name="old"), 1, 2)
    before = counts(database)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, database.url, str(ROOT), str(ROOT / "tests" / "storage")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written, not committed\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert counts(database) == before
    with database.begin() as conn:  # waits until the killed session's lock is released
        assert history.surveys(conn, "demo")["current"].tolist() == [True]
        assert ledger.task_states(conn, [task.key]) == {task.key: TaskState.PLANNED}
        assert record(conn, world, world.survey(name="new"), 2, 3, tasks=[task])
        assert ledger.task_states(conn, [task.key]) == {task.key: TaskState.DONE}


def test_status_of_every_season(database: Database, world) -> None:
    with database.begin() as conn:
        ledger.plan_tasks(conn, [world.task("a", 0), world.task("a", 1), world.task("a", 0, season=2022)])
        ledger.set_state(conn, world.task("a", 1).key, TaskState.EMPTY, reason="all cloud")
        observations = pd.concat([world.water(1), not_observed(world, 2)])
        record(
            conn,
            world,
            world.survey(),
            1,
            2,
            observations=observations,
            flags=world.flags(0.9, 0.7, 0.2),
            tasks=[world.task("a", 0)],
        )
        flag = reviews.queue(conn)["flag_id"][0]
        reviews.add_verdict(conn, flag, reviews.VerdictKind.AGREE, by="me")
        first, second = status(conn)
        assert status(conn, "elsewhere") == []
    assert (first.region, first.season, first.tasks) == ("demo", 2021, {"done": 1, "empty": 1})
    assert first.reasons == (ReasonCount("empty", "all cloud", 1),)
    assert (first.lakes, first.not_observed, str(first.last_seen), first.open_flags) == (
        1,
        1,
        "2021-08-30",
        1,
    )
    assert (second.season, second.tasks, second.survey_id) == (2022, {"planned": 1}, None)


def test_tens_of_thousands_of_observations_load_in_seconds(database: Database, world) -> None:
    numbers = range(20_000)
    observations, lakes = world.water(*numbers), world.lakes(*numbers)
    start = time.perf_counter()
    with database.begin() as conn:
        record_survey(conn, world.survey(), observations, lakes=lakes, lineage=world.lineage())
    assert time.perf_counter() - start < 20
    assert counts(database)["lake_observation"] == 20_000


def test_a_full_disk_is_reported_and_nothing_is_stored(database: Database, world, full_disk: Path) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(f"CREATE TABLESPACE small LOCATION '{full_disk}'"))
        conn.execute(text("ALTER TABLE lake_observation SET TABLESPACE small"))
    numbers = range(20_000)
    with pytest.raises(StorageError, match=r"disk is full.*free some space"), database.begin() as conn:
        record(conn, world, world.survey(), *numbers)
    assert set(counts(database).values()) == {0}
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ALTER TABLE lake_observation SET TABLESPACE pg_default"))
        conn.execute(text("DROP TABLESPACE small"))
    with database.begin() as conn:
        assert record(conn, world, world.survey(), 1, 2)
