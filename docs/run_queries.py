"""Run every query of `docs/history.md` and write its answer below it.

`python -m docs.run_queries FOLDER` needs the samples INVENTORY and GLACIERS in that folder.
`tests/monitor/history/test_queries.py` runs the same queries and compares the answers with the page.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import shapely
from sqlalchemy import Connection, text

from monitor.history.inventories.importing import record_inventory
from monitor.history.inventories.mapping import read_mapping
from monitor.history.inventories.outlines import prepare, read_inventory
from monitor.settings import Region, RegionSettings

if TYPE_CHECKING:
    from storage.database import Database

PAGE = Path(__file__).with_name("history.md")
INVENTORY, GLACIERS = "hkh_lakes_2000_2010_2020.parquet", "rgi60_everest_glaciers.gpkg"
SEASONS = (2000, 2010, 2020)
BOUNDS = (67.0, 26.0, 104.0, 39.0)
#: number of rows of a result on the page
SHOWN = 5
QUERY = re.compile(r"```sql\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


@dataclass(frozen=True)
class Result:
    """Columns and rows of a query's result."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def __str__(self) -> str:
        """The first rows, formatted as by psql."""
        cells = [self.columns, *([_plain(value) for value in row] for row in self.rows[:SHOWN])]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.columns))]
        right = [
            bool(self.rows) and all(isinstance(row[n], int | float | Decimal | None) for row in self.rows)
            for n in range(len(self.columns))
        ]
        lines = []
        for row in cells:
            padded = (
                f"{cell:>{width}}" if number else f"{cell:<{width}}"
                for cell, width, number in zip(row, widths, right, strict=True)
            )
            lines.append(" | ".join(padded).rstrip())
        lines.insert(1, "-+-".join("-" * width for width in widths))
        more = f", {SHOWN} shown" if len(self.rows) > SHOWN else ""
        return "\n".join([*lines, f"({len(self.rows)} row{'s' * (len(self.rows) != 1)}{more})"])


def queries(page: str) -> list[str]:
    """All queries of the page."""
    return [hit[1] for hit in QUERY.finditer(page)]


def execute(conn: Connection, query: str) -> Result:
    """Run a query unchanged, without parameters."""
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(query)
        return Result(tuple(column.name for column in cursor.description), cursor.fetchall())


def filled(conn: Connection, page: str) -> str:
    """Return the page with the result below each query."""
    return QUERY.sub(lambda hit: f"```sql\n{hit[1]}```\n\n```text\n{execute(conn, hit[1])}\n```\n", page)


def load(database: Database, samples: Path) -> None:
    """Import three seasons of the inventory as region `hkh`, and the glaciers as table `glacier`."""
    outline = shapely.box(*BOUNDS)
    region = Region("hkh", RegionSettings(bounds=BOUNDS), outline, outline)
    for season in SEASONS:
        # in the last season, the sample contains only lakes west of 88 E
        mapping = read_mapping("hkh-icimod", {"bounds": "67,26,88,39"} if season == 2020 else {})
        lakes = prepare(read_inventory(samples / INVENTORY, mapping), season, mapping, region)
        record_inventory(database, samples / INVENTORY, lakes, region=region, season=season, mapping=mapping)
    with database.begin() as conn:
        glaciers = geopandas.read_file(samples / GLACIERS)
        conn.execute(text("CREATE TABLE glacier (rgiid text, area float8, geom geometry(Geometry, 4326))"))
        conn.execute(
            text("INSERT INTO glacier VALUES (:rgiid, :area, ST_GeomFromWKB(:geom, 4326))"),
            [
                {"rgiid": one.RGIId, "area": one.Area, "geom": one.geometry.wkb}
                for one in glaciers.itertuples()
            ],
        )


def _plain(value: object) -> str:
    if value is None:
        return ""
    return "t" if value is True else "f" if value is False else str(value)


def main(samples: Path) -> None:
    from storage.database import Database
    from storage.embedded import EmbeddedPostgis

    server = EmbeddedPostgis(Path(tempfile.mkdtemp()), durable=False)
    with server as url:
        database = Database(url)
        database.upgrade()
        load(database, samples)
        with database.connect() as conn:
            PAGE.write_text(filled(conn, PAGE.read_text()))
        database.dispose()
    server.wait_stopped()
    shutil.rmtree(server.folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
