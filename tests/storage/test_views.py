"""Results of the views: trends as by scipy, rates of drainage, nearest lakes, suspect seasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import theilslopes
from shapely import Point
from sqlalchemy import text

from storage.codes import SurveyKind
from storage.database import Database
from storage.history import Survey
from storage.recording import record_survey


def record(conn, world, season: int, observations, *, suspect: str | None = None, **survey) -> None:
    lakes = pd.DataFrame({"id": observations.lake_id.unique(), "code": "GL000000E00000N"})
    what = replace(world.survey(season), suspect=suspect, **survey)
    record_survey(conn, what, observations, lakes=lakes, lineage=world.lineage())


@pytest.mark.parametrize("count", [3, 4, 7, 12])
def test_trends_agree_with_scipy(database: Database, world, count: int) -> None:
    random = np.random.default_rng(count)
    seasons = sorted(random.choice(np.arange(2000, 2024), count, replace=False).tolist())
    lakes = [1, 2, 3]
    with database.begin() as conn:
        for season in seasons:
            rows = pd.concat(
                [world.water(lake, size=0.002 + 0.001 * random.random()) for lake in lakes], ignore_index=True
            ).assign(seen_share=0.95)
            record(conn, world, season, rows)
        # neither of these counts: a suspect season, a lake observed in part
        record(conn, world, 2030, world.water(*lakes, size=0.0001).assign(seen_share=1.0), suspect="all gone")
        record(conn, world, 2031, world.water(*lakes, size=0.0001).assign(seen_share=0.5))
        trends = {row.lake_id: row for row in conn.execute(text("SELECT * FROM lake_trend"))}
        areas = pd.DataFrame(
            map(tuple, conn.execute(text("SELECT lake_id, season, area_m2 FROM lake_area_history "
                                         "WHERE season < 2030 ORDER BY season"))),
            columns=["lake", "season", "area"],
        )  # fmt: skip
    assert len(trends) == 3
    for lake, seen in areas.groupby("lake"):
        slope, _, low, high = theilslopes(seen.area, seen.season, 0.95)
        row = trends[lake]
        assert (row.seasons, row.first_season, row.last_season) == (count, seasons[0], seasons[-1])
        assert row.slope_m2_per_year == pytest.approx(slope)
        ends = (row.slope_low_m2_per_year, row.slope_high_m2_per_year)
        assert ends == ((None, None) if count == 3 else (pytest.approx(low), pytest.approx(high)))


def test_the_rate_of_drainage_uses_the_days_of_both_observations(database: Database, world) -> None:
    whole = {"seen_share": 1.0, "sigma_m2": 100.0}
    before = world.water(1, 2, size=0.004).assign(
        first_day=date(2021, 8, 1), last_day=date(2021, 9, 10), **whole
    )
    after = world.water(1, 2, size=0.002).assign(
        first_day=date(2022, 7, 7), last_day=date(2022, 7, 20), **whole
    )
    with database.begin() as conn:
        record(conn, world, 2021, before)
        record(conn, world, 2022, after.iloc[:1])
        (row,) = conn.execute(text("SELECT * FROM lake_drainage")).all()
    assert (row.day_before, row.day_after) == (date(2021, 9, 10), date(2022, 7, 7))
    assert row.lost_percent == pytest.approx(75, abs=0.1) and not row.suspect and not row.split
    assert row.rate_m2_per_day == pytest.approx(row.lost_m2 / 300)


def test_a_loss_within_a_season_between_two_sources(database: Database, world) -> None:
    """An inventory of July and a model's survey of September: the same season, a lake half as large."""
    whole = {"seen_share": 1.0, "sigma_m2": 100.0}
    july = world.water(1, size=0.004).assign(first_day=date(2021, 7, 1), last_day=date(2021, 7, 1), **whole)
    september = world.water(1, size=0.002).assign(
        first_day=date(2021, 9, 9), last_day=date(2021, 9, 9), **whole
    )
    inventory = Survey(world.uuid("i"), world.region, 2021, SurveyKind.INVENTORY, "july", "sha256:i")
    with database.begin() as conn:
        record_survey(conn, inventory, july, lakes=world.lakes(1), lineage=world.lineage())
        record(conn, world, 2021, september)
        rows = conn.execute(text("SELECT * FROM lake_drainage")).all()
    assert [(row.season_from, row.season_to) for row in rows] == [(2021, 2021)]
    assert rows[0].rate_m2_per_day == pytest.approx(rows[0].lost_m2 / 70)


def test_nearest_lakes(database: Database, world) -> None:
    lakes = list(range(40))
    with database.begin() as conn:
        record(conn, world, 2021, world.water(*lakes))
        record(conn, world, 2022, world.water(*lakes[::2], size=0.003))
        found = conn.execute(text("SELECT * FROM nearest_lakes(77.2042, 42.05, 5)")).all()
    point = Point(77.2042, 42.05)
    outlines = {world.uuid("lake", n): world.square(n, 0.002 if n % 2 else 0.003) for n in lakes}
    by_distance = sorted(outlines, key=lambda lake: outlines[lake].distance(point))
    assert {row.lake_id for row in found} == set(by_distance[:5])
    assert [row.distance_m for row in found] == sorted(row.distance_m for row in found)
    assert found[0].distance_m == pytest.approx(5220, rel=0.02)
    assert {row.season for row in found} == {2021, 2022}


def test_a_suspect_season_is_marked_and_left_out_of_later_comparisons(database: Database, world) -> None:
    whole = {"seen_share": 1.0, "sigma_m2": 100.0}
    with database.begin() as conn:
        for season, size in ((2020, 0.004), (2021, 0.001), (2022, 0.004)):
            rows = world.water(1, 2, size=size).assign(**whole)
            record(conn, world, season, rows, suspect="gone" if season == 2021 else None)
        changes = conn.execute(
            text("SELECT season, verdict, suspect FROM lake_change_yearly ORDER BY 1")
        ).all()
        any_two = conn.execute(
            text("SELECT verdict, suspect FROM lake_change_any WHERE season_from = 2020 AND season_to = 2022")
        ).all()
    assert {tuple(row) for row in changes} == {
        (2021, "shrunk", True),
        (2022, "no significant change", False),
    }
    assert {tuple(row) for row in any_two} == {("no significant change", False)}
