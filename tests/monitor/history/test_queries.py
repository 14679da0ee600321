"""Every query of `docs/history.md` on a real PostGIS: with an empty history and the page's inventory."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from sqlalchemy import text

from storage.database import Database
from tests.support.places import ROOT, SAMPLES

#: columns of each query that users rely on, and the minimum number of rows with the sample
EXPECTED = {
    "1": ({"season", "outcome", "reason", "km2", "low_km2", "high_km2"}, 3),
    "2": ({"code", "verdict", "change_ha", "limit_ha"}, 70),
    "3": ({"code", "m2_per_year", "low", "high"}, 20),
    "4": ({"code", "lost_ha", "percent", "m2_per_day", "split"}, 10),
    "5": ({"code", "ha", "km"}, 10),
    "6": ({"code", "why", "last_seen"}, 400),
    "7": ({"verdict", "lakes", "change_km2", "error_km2"}, 5),
    "8": ({"season", "event", "code", "other_code"}, 20),
    "9": ({"code", "elevation_m", "rgiid", "glacier_m"}, 5),
    "10": ({"region", "season", "lakes", "km2", "sigma_apart_km2", "sigma_together_km2"}, 3),
    "11": ({"season", "kind", "score", "north", "east"}, 0),
    "12": ({"lake_id", "now_lake_id"}, 0),
}


@pytest.fixture(scope="module")
def run_queries() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_queries", ROOT / "docs/run_queries.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_query_runs_on_an_empty_history(run_queries: ModuleType, database: Database) -> None:
    queries = run_queries.queries(run_queries.PAGE.read_text())
    assert len(queries) == len(EXPECTED)
    with database.begin() as conn:
        conn.execute(text("CREATE TABLE glacier (rgiid text, area float8, geom geometry(Geometry, 4326))"))
        for (number, (columns, _)), query in zip(EXPECTED.items(), queries, strict=True):
            answer = run_queries.execute(conn, query)
            assert columns <= set(answer.columns), number
            assert not answer.rows, number


@pytest.mark.skipif(
    not (SAMPLES / "hkh_lakes_2000_2010_2020.parquet").exists()
    or not (SAMPLES / "rgi60_everest_glaciers.gpkg").exists(),
    reason="the sample inventory and glaciers are not beside the checkout",
)
def test_the_page_shows_the_results_for_the_inventory(run_queries: ModuleType, database: Database) -> None:
    run_queries.load(database, SAMPLES)
    page = run_queries.PAGE.read_text()
    with database.connect() as conn:
        for (number, (_, rows)), query in zip(EXPECTED.items(), run_queries.queries(page), strict=True):
            assert len(run_queries.execute(conn, query).rows) >= rows, number
        assert run_queries.filled(conn, page) == page, (
            "docs/history.md is out of date: run `python -m docs.run_queries ../shared/samples` and commit it"
        )


def test_results_are_formatted_as_in_psql(run_queries: ModuleType) -> None:
    result = run_queries.Result(("name", "n"), [("a", 1), (None, None), *[("b", 20)] * 4])
    assert str(result).splitlines() == ["name |  n", "-----+---", "a    |  1", "     |", *["b    | 20"] * 3,
                                        "(6 rows, 5 shown)"]  # fmt: skip
