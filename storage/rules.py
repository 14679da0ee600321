"""Declarative base of all tables: names of constraints, column types and common check constraints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from geoalchemy2 import Geometry
from sqlalchemy import CheckConstraint, Dialect, MetaData, Text, TypeDecorator, Uuid
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

from storage.policy import FIRST_SEASON, LAST_SEASON
from storage.redaction import storable

__all__ = ["MULTIPOLYGON", "POLYGON", "SRID", "Base", "number", "one_of", "season_check", "share", "sound"]

SRID = 4326
MULTIPOLYGON = Geometry("MULTIPOLYGON", srid=SRID, spatial_index=False)
POLYGON = Geometry("POLYGON", srid=SRID, spatial_index=False)


class StoredJson(TypeDecorator[Any]):
    """JSONB without secrets, and without NaN, which PostgreSQL refuses."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return storable(value)


class Base(DeclarativeBase):
    """Base of all tables, with a naming convention for constraints."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own hook
        str: Text,
        float: DOUBLE_PRECISION,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: StoredJson,
        UUID: Uuid(),
    }


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """Constraint: one of the given words, such as those of a `StrEnum`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(word)) for word in words)})", name=column)


def season_check(column: str = "season") -> CheckConstraint:
    """Constraint: a plausible year."""
    return CheckConstraint(f"{column} BETWEEN {FIRST_SEASON} AND {LAST_SEASON}", name=column)


def number(column: str) -> CheckConstraint:
    """Constraint: not negative and finite (PostgreSQL sorts NaN above infinity)."""
    return CheckConstraint(f"{column} >= 0 AND {column} < 'infinity'::float8", name=column)


def share(column: str) -> CheckConstraint:
    """Constraint: between 0 and 1."""
    return CheckConstraint(f"{column} >= 0 AND {column} <= 1", name=column)


def sound(column: str) -> CheckConstraint:
    """Constraint: a valid, non-empty geometry within the bounds of degrees, which metres would exceed."""
    return CheckConstraint(
        f"ST_IsValid({column}) AND NOT ST_IsEmpty({column}) AND ST_XMin({column}) >= -180 AND "
        f"ST_XMax({column}) <= 180 AND ST_YMin({column}) >= -90 AND ST_YMax({column}) <= 90",
        name=f"{column}_sound",
    )
