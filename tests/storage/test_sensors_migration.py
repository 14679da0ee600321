"""Revision 0003 on a database with data: the column `sensors` of an observation, and the views with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from alembic.config import Config
from sqlalchemy import Connection, text

from alembic import command
from storage.codes import SurveyKind
from storage.database import Database
from storage.errors import StorageError
from storage.history import history, lakes, last_outlines, observations_of, outlines_of
from storage.prior import prior_surveys
from storage.recording import record_survey
from tests.storage.test_database import alembic_config

VIEWS = ("lake_area_history", "lake_latest", "lake_trend", "lake_change_yearly", "nearest_lakes(77, 42, 9)")
SERVED = ("lake_area_history", "lake_latest", "lake_trend")


def rows_of(conn: Connection, without: str = "sensors") -> dict[str, list[dict[str, Any]]]:
    """Rows of tables and views, without the new column."""
    names = ("lake_observation", *VIEWS, *(f"served.{name}" for name in SERVED))
    found = {}
    for name in names:
        rows = conn.execute(text(f"SELECT * FROM {name}")).mappings()
        plain = [{key: str(value) for key, value in row.items() if key != without} for row in rows]
        found[name] = sorted(plain, key=str)
    return found


def moved(database: Database, way: Any, revision: str) -> None:
    with database.begin() as conn:
        config: Config = alembic_config(conn)
        way(config, revision)


def test_rows_of_before_are_kept_and_new_ones_name_their_sensors(database: Database, world) -> None:
    moved(database, command.downgrade, "0002")
    seen = {"seen_share": 1.0, "sigma_m2": 100.0}
    published = world.survey(2018, kind=SurveyKind.INVENTORY)
    with database.begin() as conn:
        record_survey(conn, published, world.water(1, 2), lakes=world.lakes(1, 2), lineage=world.lineage())
        for season in (2019, 2020, 2021):
            rows = world.water(1, 2, size=0.002 + 0.001 * (season - 2019)).assign(**seen)
            record_survey(conn, world.survey(season), rows, lakes=world.lakes(), lineage=world.lineage())
        before = rows_of(conn)
    assert min(map(len, before.values())) > 0

    database.upgrade()
    database.check_current()
    with database.begin() as conn:
        command.check(alembic_config(conn))
        assert rows_of(conn) == before
        assert conn.execute(text("SELECT count(sensors) FROM lake_observation")).scalar_one() == 0
        for name in ("lake_area_history", "lake_latest", "served.lake_area_history", "served.lake_latest"):
            assert conn.execute(text(f"SELECT count(*) - count(sensors) FROM {name}")).scalar_one() > 0

    radar = replace(world.survey(2022), digest="sha256:abc")
    with database.begin() as conn:
        rows = world.water(1, 2, 3).assign(sensors=["S1+DEM", "S2L2A+S1+DEM", "S1+DEM"], **seen)
        record_survey(conn, radar, rows, lakes=world.lakes(3), lineage=world.lineage())
        one, two, three = (world.uuid("lake", number) for number in (1, 2, 3))
        asked = "SELECT lake_id, sensors FROM {} WHERE season = 2022"
        for name in ("lake_area_history", "lake_latest", "served.lake_area_history", "served.lake_latest"):
            found = dict(map(tuple, conn.execute(text(asked.format(name)))))
            assert found == {one: "S1+DEM", two: "S2L2A+S1+DEM", three: "S1+DEM"}, name
        assert history(conn, one).sensors.tolist() == [None] * 4 + ["S1+DEM"]
        listed = lakes(conn).set_index("lake_id").sensors
        assert listed.to_dict() == {one: "S1+DEM", two: "S2L2A+S1+DEM", three: "S1+DEM"}
        assert set(observations_of(conn, world.region, 2022).sensors) == {"S1+DEM", "S2L2A+S1+DEM"}
        assert set(outlines_of(conn, radar.id).sensors) == {"S1+DEM", "S2L2A+S1+DEM"}
        assert set(last_outlines(conn, world.region).sensors) == {"S1+DEM", "S2L2A+S1+DEM"}
        prior = prior_surveys(conn, replace(radar, season=2023).key).observations
        confirmed = prior.groupby("lake_id").confirmed.agg(set)
        assert confirmed.to_dict() == {one: {True}, two: {True}, three: {False}}, "an inventory confirms"
        with_sensors = rows_of(conn)

    moved(database, command.downgrade, "0002")
    with database.begin() as conn:
        assert rows_of(conn) == with_sensors
        columns = conn.execute(text("SELECT * FROM lake_area_history LIMIT 0")).keys()
        assert "sensors" not in columns
    database.upgrade()
    database.check_current()


def test_an_empty_name_of_sensors_is_refused(database: Database, world) -> None:
    rows = world.water(1).assign(sensors="")
    with pytest.raises(StorageError, match="ck_lake_observation_sensors"), database.begin() as conn:
        record_survey(conn, world.survey(), rows, lakes=world.lakes(1), lineage=world.lineage())
