"""Copy data frames into tables (binary COPY) and read query results as data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import psycopg
import shapely
from geoalchemy2 import Geometry
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Boolean, Connection, Date, Double, Integer, Table, Text, TextClause, Uuid
from sqlalchemy.types import TypeEngine

from storage.errors import StorageError
from storage.redaction import storable
from storage.rules import StoredJson

# Type OIDs of PostgreSQL (pg_type.oid).
_BOOL_OIDS, _INTEGER_OIDS, _FLOAT_OIDS, _TIME_OIDS = {16}, {20, 21, 23}, {700, 701, 1700}, {1184}

PIECE = 1000
"""Rows converted at a time."""

__all__ = ["copy_frame", "multi", "read_frame", "read_geoframe", "records"]

# The order matters: in SQLAlchemy, BigInteger is a subclass of Integer.
_WIRE_TYPES: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (Uuid, "uuid"),
    (Text, "text"),
    (BigInteger, "int8"),
    (Integer, "int4"),
    (Double, "float8"),
    (Boolean, "bool"),
    (Date, "date"),
    (StoredJson, "jsonb"),
    (Geometry, "bytea"),  # COPY ignores the name of the type; PostGIS parses the bytes as EWKB
)


def copy_frame(conn: Connection, table: Table, frame: pd.DataFrame, *, skip_known: bool = False) -> None:
    """Insert the rows of `frame` into `table`; the columns of a geometry type hold shapely objects.

    Missing values (None, NaN, NaT) become NULL. With `skip_known`, rows whose primary key exists are skipped.
    Raises StorageError for an unknown column, for a row that violates a constraint, and when the disk is
    full.
    """
    if frame.empty:
        return
    unknown = sorted(set(frame.columns) - set(table.columns.keys()))
    if unknown:
        raise StorageError(
            f"Table {table.name} has no column {', '.join(unknown)}; it has "
            f"{', '.join(table.columns.keys())}."
        )
    names = list(frame.columns)
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    target, stage = sql.Identifier(table.name), sql.Identifier(f"stage_{table.name}")
    with _driver_cursor(conn) as cursor, _storage_error_on_violation(table.name):
        if skip_known:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(stage))
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                    stage, columns, target
                )
            )
        into = stage if skip_known else target
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(into, columns)) as copy:
            copy.set_types([_wire_type(table.columns[name].type) for name in names])
            # in pieces, so that the server processes one while the next is converted
            for start in range(0, len(frame), PIECE):
                piece = frame.iloc[start : start + PIECE]
                columns_of = (_values(piece[name], table.columns[name].type) for name in names)
                for row in zip(*columns_of, strict=True):
                    copy.write_row(row)
        if skip_known:
            insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING")
            cursor.execute(insert.format(target, columns, columns, stage))


def read_frame(conn: Connection, query: TextClause, **parameters: object) -> pd.DataFrame:
    """Return the rows of `query` as a DataFrame, with dtypes from the types of the columns.

    NULL becomes NaN in columns of numbers, NaT in columns of times and None in others. UUIDs are `uuid.UUID`.
    """
    result = conn.execute(query, parameters)
    names, types = list(result.keys()), [cast(int, column[1]) for column in result.cursor.description]
    rows = result.fetchall()
    columns = (pd.Series(values, dtype=object) for values in zip(*rows, strict=True))
    empty = (pd.Series([], dtype=object) for _ in names)
    typed = zip(names, columns if rows else empty, types, strict=True)
    return pd.DataFrame({name: _typed(values, kind) for name, values, kind in typed}, columns=pd.Index(names))


def _typed(values: pd.Series[Any], kind: int) -> pd.Series[Any]:
    if kind in _TIME_OIDS:
        return pd.to_datetime(values, utc=True)
    if kind in _FLOAT_OIDS or (kind in _INTEGER_OIDS and values.isna().any()):
        return values.astype("float64")
    if kind in _INTEGER_OIDS:
        return values.astype("int64")
    return values.astype("bool") if kind in _BOOL_OIDS and values.notna().all() else values


def read_geoframe(conn: Connection, query: TextClause, **parameters: object) -> gpd.GeoDataFrame:
    """Return the rows of `query` as a GeoDataFrame in EPSG:4326; its column `geometry` is ST_AsBinary(…)."""
    frame = read_frame(conn, query, **parameters)
    blobs = [None if blob is None else bytes(blob) for blob in frame["geometry"]]
    geometry = shapely.from_wkb(np.array(blobs, dtype=object))
    return gpd.GeoDataFrame(frame.drop(columns="geometry"), geometry=geometry, crs=4326)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as dicts, with None in place of NaN and NaT."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _wire_type(column: TypeEngine[Any]) -> str:
    return next(name for kind, name in _WIRE_TYPES if isinstance(column, kind))


def _values(series: pd.Series[Any], column: TypeEngine[Any]) -> list[Any]:
    """Values of a column as Python objects that psycopg can write in the wire type."""
    if isinstance(column, Geometry):
        shapes = shapely.force_2d(np.asarray(series, dtype=object))
        if column.geometry_type == "MULTIPOLYGON":
            shapes = multi(shapes)
        return list(shapely.to_wkb(shapely.set_srid(shapes, column.srid), include_srid=True))
    values: list[Any] = series.astype(object).where(series.notna(), None).tolist()
    if isinstance(column, StoredJson):
        return [Jsonb({} if value is None else storable(value)) for value in values]
    if isinstance(column, Date):
        return [value.date() if isinstance(value, pd.Timestamp) else value for value in values]
    casts: Mapping[type, type] = {Integer: int, Double: float, Boolean: bool, Text: str}
    cast = next((to for kind, to in casts.items() if isinstance(column, kind)), None)
    return values if cast is None else [None if value is None else cast(value) for value in values]


def multi(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Convert each Polygon to a MultiPolygon with one part; leave other shapes unchanged."""
    single = shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON
    several = shapes.copy()
    several[single] = shapely.multipolygons(shapes[single], indices=np.arange(single.sum()))
    return several


@contextmanager
def _driver_cursor(conn: Connection) -> Iterator[psycopg.Cursor[Any]]:
    """Cursor of psycopg in the transaction of `conn`, for COPY, which SQLAlchemy does not offer."""
    driver = conn.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise StorageError(
            f"The lake history needs a postgresql+psycopg:// database, not {conn.dialect.name}."
        )
    with driver.cursor() as cursor:
        yield cursor


@contextmanager
def _storage_error_on_violation(table: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StorageError(
            f"The database's disk is full while writing {table}. The transaction was rolled back and earlier "
            "results are unchanged; free some space and run the same command again."
        ) from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        rule = error.diag.constraint_name or "its column types"
        detail = (error.diag.message_detail or error.diag.context or "").splitlines()
        raise StorageError(
            f"{table} refused a row by {rule}: {error.diag.message_primary or error}. "
            f"{detail[0] if detail else ''} "
            "The transaction was rolled back; correct the value and write again."
        ) from error
