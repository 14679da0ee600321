"""Views of the lake history as streams of Arrow batches, with a few thousand rows in memory at a time.

Geometries are WKB in EPSG:4326, areas are in square metres, days are dates, identities and JSON are text. The
columns are those of the view, with `geometry` as the last column in place of geom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, CursorResult, Row, text

from storage.copying import read_frame
from storage.database import Database
from storage.errors import StorageError

__all__ = ["GEOMETRY", "Scope", "View", "schema", "snapshot", "source_items", "stream", "surveyed"]

GEOMETRY = "geometry"
#: rows per batch: with their outlines a few megabytes
BATCH = 5_000


class View(StrEnum):
    """Views that can be exported to a file."""

    LATEST = "lake_latest"
    HISTORY = "lake_area_history"
    CHANGES = "lake_change_yearly"


@dataclass(frozen=True)
class Scope:
    """Rows to export: those of one region and season, or all where None."""

    region: str | None = None
    season: int | None = None


_ORDER = {
    View.LATEST: "region, code, lake_id",
    View.HISTORY: "region, code, lake_id, season",
    View.CHANGES: "region, season, code, lake_id",
}
# for each type of PostgreSQL: the Arrow type and the cast in the query
_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "uuid": (pa.string(), "::text"),
    "text": (pa.string(), ""),
    "int4": (pa.int32(), ""),
    "int8": (pa.int64(), ""),
    "float8": (pa.float64(), ""),
    "numeric": (pa.float64(), "::float8"),
    "bool": (pa.bool_(), ""),
    "date": (pa.date32(), ""),
    "timestamptz": (pa.timestamp("us", tz="UTC"), ""),
    "jsonb": (pa.string(), "::text"),
}
_SCOPED = "region = coalesce(CAST(:region AS text), region)"


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """Open a connection whose queries all read the same state of the history."""
    with database.connect() as conn:
        yield conn.execution_options(isolation_level="REPEATABLE READ")


def schema(conn: Connection, view: View) -> pa.Schema:
    """Columns of a view in the order of `stream`. Raises StorageError for a column of an unsupported type."""
    fields = []
    for name, kind in _columns(conn, view):
        if kind not in _TYPES:
            raise StorageError(
                f"{view}.{name} is of type {kind}, which exports do not support; add it to "
                "storage/exports.py."
            )
        fields.append(pa.field(name, _TYPES[kind][0]))
    return pa.schema([*fields, pa.field(GEOMETRY, pa.binary())])


@contextmanager
def stream(conn: Connection, view: View, scope: Scope, batch: int = BATCH) -> Iterator[pa.RecordBatchReader]:
    """Rows of a view, ordered by region and code, read from the server while they are consumed.

    With `scope.season`: of `lake_area_history` the rows of that season, of `lake_change_yearly` the changes
    to it since each lake's last observation before, of `lake_latest` the last observation up to that season.
    The geometry of a change is the lake's latest outline.
    """
    columns = schema(conn, view)
    # by default the server plans for the first rows of a cursor; reading all rows is then many times slower
    conn.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
    query = text(_query(view, _columns(conn, view), scope))
    streaming = {"stream_results": True, "max_row_buffer": batch}
    parameters = {"region": scope.region, "season": scope.season}
    # closed here: a cursor left to the garbage collector may be closed in a later transaction
    with conn.execute(query, parameters, execution_options=streaming) as result:
        yield pa.RecordBatchReader.from_batches(columns, _batches(result, batch, columns))


def surveyed(conn: Connection, region: str | None = None) -> pd.DataFrame:
    """Surveys of the view `survey_shown`: id, region, season, kind, source, digest, ordered by season."""
    query = f"SELECT id, region, season, kind, source, digest FROM survey_shown WHERE {_SCOPED} "
    return read_frame(conn, text(query + "ORDER BY season, region, kind, source, id"), region=region)


@dataclass(frozen=True)
class SourceItem:
    """An input scene of a season, and the URL of its STAC item."""

    id: str
    collection: str
    taken_at: datetime | None
    href: str | None
    """None where it is not known."""


def source_items(conn: Connection, region: str | None, season: int, kind: str = "model") -> list[SourceItem]:
    """Input scenes of a season's tasks of this kind without superseded tasks, ordered by time."""
    query = text(
        """
        SELECT DISTINCT c.item_id, c.collection, c.taken_at, c.href, c.item -> 'links' AS links
        FROM task t JOIN task_scene ts ON ts.task_key = t.key JOIN scene c ON c.id = ts.scene_id
        WHERE t.region = coalesce(CAST(:region AS text), t.region) AND t.season = :season AND t.kind = :kind
            AND t.state <> 'superseded'
        ORDER BY c.taken_at, c.collection, c.item_id
        """
    )
    rows = conn.execute(query, {"region": region, "season": season, "kind": kind})
    return [SourceItem(row.item_id, row.collection, row.taken_at, row.href or _address(row)) for row in rows]


def _address(row: Row[Any]) -> str | None:
    """URL of a scene's item: its link "self", else derived from the collection of the API that it links."""
    links = {link.get("rel"): str(link.get("href")) for link in row.links or []}
    if "self" in links:
        return links["self"]
    collection = links.get("collection", "")
    # STAC API - Features: /collections/{id}/items/{id}; links of a static catalogue have another form
    if collection.startswith("http") and collection.endswith(f"/collections/{row.collection}"):
        return f"{collection}/items/{row.item_id}"
    return None


def _columns(conn: Connection, view: View) -> list[tuple[str, str]]:
    """Name and type of a view's columns, without the geometry."""
    query = text(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = :view ORDER BY ordinal_position"
    )
    found = [(row.column_name, row.udt_name) for row in conn.execute(query, {"view": view.value})]
    if not found:
        raise StorageError(f"The database has no view {view}. Run `monitor db upgrade`.")
    return [(name, kind) for name, kind in found if kind != "geometry"]


def _query(view: View, columns: list[tuple[str, str]], scope: Scope) -> str:
    by_then = "" if scope.season is None else " AND season <= :season"
    source = f"SELECT * FROM {view} WHERE {_SCOPED}" + (
        "" if scope.season is None else " AND season = :season"
    )
    if view is View.LATEST and scope.season is not None:
        source = f"""SELECT DISTINCT ON (lake_id) {", ".join(name for name, _ in columns)}, geom
            FROM {View.HISTORY} WHERE outcome <> 'not observed' AND {_SCOPED}{by_then}
            ORDER BY lake_id, season DESC"""
    elif view is View.CHANGES:
        source = f"""SELECT c.*, o.geom FROM ({source}) AS c LEFT JOIN (
            SELECT DISTINCT ON (lake_id) lake_id, geom FROM {View.HISTORY} WHERE outcome = 'water'{by_then}
            ORDER BY lake_id, season DESC) AS o USING (lake_id)"""
    asked = ", ".join(f"{name}{_TYPES[kind][1]} AS {name}" for name, kind in columns)
    # outlines are stored out of line and fetched one by one after the sort
    return f"""SELECT {asked}, ST_AsBinary(geom) AS geometry
        FROM (SELECT * FROM ({source}) AS scoped ORDER BY {_ORDER[view]}) AS sorted"""


def _batches(result: CursorResult[Any], batch: int, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in result.partitions(batch):
        values = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(values, columns, strict=True)]
        yield pa.record_batch(arrays, schema=columns)
