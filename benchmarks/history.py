"""The lake history at full size: times of recording a new season and of common queries.

    python -m benchmarks.history [--lakes 30000] [--seasons 10] [--json out.json]

The lakes are generated. Recording is compared with a simple script: `read_postgis`, `geopandas.overlay`, a
merge for the change and `to_postgis`; it does less (no lineage, no errors, no supersession). Both start with
the season's outlines in memory and end with rows in the same database. Times are from one run on one machine;
only their ratio is meaningful.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import Geod
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, create_engine, text

from benchmarks.lakes import Country
from monitor.history.inventories.draft import draft_inventory
from monitor.history.inventories.outlines import measured
from monitor.history.record import SurveyInputs, record, survey_state
from monitor.settings import Region, RegionSettings
from storage import history, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.embedded import EmbeddedPostgis
from storage.prior import SurveyKey, prior_surveys

GEOD = Geod(ellps="WGS84")
REGION, FIRST = "country", 2014
NEW_SEASON_S, FASTER = 60, 5.0
BOUNDS_MS = {
    "history of one lake, p95": 5,
    "100 largest significant changes of a region, one season": 200,
    "10 nearest lakes to a point": 10,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lakes", type=int, default=30_000)
    parser.add_argument("--seasons", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    smalls = [measure(options.lakes // 10, options.seasons, peer=False) for _ in range(3)]
    small = sorted(smalls, key=lambda result: result["monitor_s"])[1]
    large = measure(options.lakes, options.seasons, peer=True)
    result = {"small": small, "large": large, "growth": large["monitor_s"] / small["monitor_s"]}
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def measure(lakes: int, seasons: int, *, peer: bool) -> dict[str, Any]:
    """Seconds for the last season, by Lake Monitor and by the simple script, and milliseconds of queries."""
    country = Country(lakes, tuple(range(FIRST, FIRST + seasons)))
    last = country.seasons[-1]
    with tempfile.TemporaryDirectory(prefix="lakes-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgis(Path(folder) / "postgis")
        with server as url:
            database = Database(url)
            database.upgrade()
            for season in country.seasons[:-1]:
                record_season(database, country, season, country.draw(season))
            with database.begin() as conn:
                conn.execute(text("ANALYZE"))
            outlines = country.draw(last)
            result: dict[str, Any] = {"lakes": lakes, "seasons": seasons, "outlines": len(outlines)}
            if peer:
                result |= _peers(database, outlines, country)
            start = time.perf_counter()
            record_season(database, country, last, outlines)
            recorded = time.perf_counter()
            with database.connect() as conn:
                changes = conn.execute(text(YEARLY), {"region": REGION, "season": last}).one()
            result["record_s"], result["change_s"] = recorded - start, time.perf_counter() - recorded
            result["monitor_s"] = result["record_s"] + result["change_s"]
            result["changes"] = dict(changes._mapping)
            with database.begin() as conn:
                conn.execute(text("ANALYZE"))
            result["queries_ms"] = _queries(database, country)
            database.dispose()
        server.wait_stopped()
    return result


def record_season(database: Database, country: Country, season: int, outlines: geopandas.GeoSeries) -> None:
    """Record a season as the import of an inventory does after reading its file."""
    box = shapely.box(*country.bounds)
    region = Region(REGION, RegionSettings(bounds=country.bounds), box, box)
    lakes = measured(geopandas.GeoDataFrame(geometry=outlines), 10.0, None)
    with database.begin() as conn:
        registry.upsert_region(conn, REGION, box)
        key = SurveyKey(REGION, season, SurveyKind.INVENTORY, "generated")
        state = survey_state(conn, SurveyInputs(key, f"generated {season}"))
        prior = prior_surveys(conn, key)
        draft = draft_inventory(prior, lakes, REGION, region.outline, season, complete=False)
        record(conn, state, draft)


YEARLY = """
    SELECT count(*) AS lakes, count(*) FILTER (WHERE significant) AS significant, sum(change_m2) AS change_m2
    FROM lake_change_yearly WHERE region = :region AND season = :season
"""


def _peers(database: Database, outlines: geopandas.GeoSeries, country: Country) -> dict[str, float]:
    """Seconds of the simple script, with the last season alone and with all earlier seasons."""
    found = {}
    for name, seasons in (("last", country.seasons[-2:-1]), ("all", country.seasons[:-1])):
        start = time.perf_counter()
        simple(database, outlines, seasons, country.seasons[-1])
        found[f"peer_{name}_s"] = time.perf_counter() - start
    return found


def simple(
    database: Database, outlines: geopandas.GeoSeries, seasons: tuple[int, ...], season: int
) -> pd.DataFrame:
    """Match with known outlines by the largest overlap, compute differences of areas, and write a table."""
    engine = create_engine(database.url)
    known = geopandas.read_postgis(
        text(
            "SELECT lake_id::text, season, area_m2, geom FROM lake_observation "
            "WHERE season = ANY(:seasons) AND geom IS NOT NULL"
        ),
        engine,
        geom_col="geom",
        params={"seasons": list(seasons)},
    ).to_crs(6933)
    now = geopandas.GeoDataFrame({"row": range(len(outlines))}, geometry=outlines).to_crs(6933)
    both = geopandas.overlay(now, known, how="intersection", keep_geom_type=True)
    both["common"] = both.area
    best = (
        both.sort_values(["season", "common"], ascending=False)
        .drop_duplicates("row")
        .drop_duplicates("lake_id")
    )
    now["lake_id"] = now.row.map(best.set_index("row").lake_id)
    now["lake_id"] = [name if isinstance(name, str) else str(uuid4()) for name in now.lake_id]
    now["season"], now["area_m2"] = season, [abs(GEOD.geometry_area_perimeter(g)[0]) for g in outlines]
    latest = known.sort_values("season").drop_duplicates("lake_id", keep="last").set_index("lake_id")
    now["change_m2"] = now.area_m2 - now.lake_id.map(latest.area_m2)
    now.to_crs(4326).to_postgis(f"simple_{uuid4().hex[:8]}", engine, index=False)
    engine.dispose()
    return pd.DataFrame(now.drop(columns="geometry"))


def _queries(database: Database, country: Country) -> dict[str, float]:
    random = np.random.default_rng(1)
    west, south, east, north = country.bounds
    with database.connect() as conn:
        ids = conn.execute(text("SELECT id FROM lake ORDER BY id")).scalars().all()
        chosen = [ids[at] for at in random.integers(0, len(ids), 200)]
        points = list(zip(random.uniform(west, east, 50), random.uniform(south, north, 50), strict=True))
        last = country.seasons[-1]
        largest = text(
            "SELECT * FROM lake_change_yearly WHERE region = :region AND season = :season AND significant "
            "ORDER BY abs(change_m2) DESC LIMIT 100"
        )
        ever = text(
            "SELECT * FROM lake_change_yearly WHERE region = :region AND significant "
            "ORDER BY abs(change_m2) DESC LIMIT 100"
        )
        nearest = text("SELECT * FROM nearest_lakes(:x, :y, 10)")
        box = text(
            "SELECT lake_id FROM lake_latest WHERE geom && ST_MakeEnvelope(:x, :y, :x + 1, :y + 1, 4326)"
        )
        view = text("SELECT * FROM lake_area_history WHERE lake_id = :lake ORDER BY season")
        return {
            "history of one lake, p95": p95(lambda lake: history.history(conn, lake), chosen),
            "history of one lake, by the view, p95": p95(
                lambda lake: conn.execute(view, {"lake": lake}).all(), chosen
            ),
            "100 largest significant changes of a region, one season": p95(
                lambda _: conn.execute(largest, {"region": REGION, "season": last}).all(), range(7), 50
            ),
            "100 largest significant changes of a region, all seasons": p95(
                lambda _: conn.execute(ever, {"region": REGION}).all(), range(3), 50
            ),
            "10 nearest lakes to a point": p95(
                lambda at: conn.execute(nearest, {"x": at[0], "y": at[1]}).all(), points
            ),
            "lake_latest in a box of one degree": p95(
                lambda at: conn.execute(box, {"x": at[0], "y": at[1]}).all(), points[:5], 50
            ),
            "trend of one lake": p95(lambda lake: trend(conn, lake), chosen[:50]),
        }


def trend(conn: Connection, lake: Any) -> Any:
    return conn.execute(text("SELECT * FROM lake_trend WHERE lake_id = :lake"), {"lake": lake}).all()


def p95(query: Callable[[Any], Any], arguments: Iterable[Any], percentile: float = 95) -> float:
    """Percentile of the duration of calls with each argument in milliseconds, after one call to warm up."""
    values = list(arguments)
    query(values[0])
    times = []
    for value in values:
        start = time.perf_counter()
        query(value)
        times.append(time.perf_counter() - start)
    return float(np.percentile(times, percentile)) * 1000


def show(result: dict[str, Any]) -> None:
    large, small = result["large"], result["small"]
    table = Table(
        title=f"{large['lakes']} lakes x {large['seasons']} seasons (generated), one new season of "
        f"{large['outlines']} outlines"
    )
    for column in ("step", "figure", "bound"):
        table.add_column(column)
    table.add_row("match, record", f"{large['record_s']:.1f} s", "")
    table.add_row("change, by the view", f"{large['change_s']:.1f} s", "")
    table.add_row("load + match + change", f"{large['monitor_s']:.1f} s", f"{NEW_SEASON_S} s")
    for name, known in (("all", "all earlier seasons, as here"), ("last", "the last season only")):
        ratio = large[f"peer_{name}_s"] / large["monitor_s"]
        table.add_row(
            f"overlay + to_postgis with {known}",
            f"{large[f'peer_{name}_s']:.1f} s = {ratio:.1f} x",
            f">= {FASTER:.0f} x" if name == "all" else "",
        )
    for name, figure in large["queries_ms"].items():
        bound = f"{BOUNDS_MS[name]} ms" if name in BOUNDS_MS else ""
        table.add_row(
            name, f"{figure:.1f} ms ({small['lakes']} lakes: {small['queries_ms'][name]:.1f})", bound
        )
    table.add_row(
        f"one new season, {small['lakes']} (median of 3) to {large['lakes']} lakes",
        f"{small['monitor_s']:.2f} s to {large['monitor_s']:.2f} s = {result['growth']:.1f} x",
        "10 x",
    )
    Console().print(table)


if __name__ == "__main__":
    main()
