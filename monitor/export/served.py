"""A view of the lake history as tipg's collection, with the meaning that OGC API Features gives to a request.

tipg builds a box that crosses 180 degrees as the rest of the world, compares identities as text, leaves the
end of an interval out, and lists rows without a value first in a descending order. Rows with equal values
come in any order, so that a page may repeat a row of the page before.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import reduce
from typing import Any
from uuid import UUID

from cql2 import Expr
from tipg.collections import Column, PgCollection
from tipg.errors import InvalidDatetime, InvalidDatetimeColumnName, InvalidPropertyName

from monitor.export.filters import area_of, either

#: an interval's end that is not given
OPEN = ("..", "")


class ServedCollection(PgCollection):
    """A collection whose rows have a UUID, one geometry in EPSG:4326 and days."""

    def cql_where(
        self,
        ids: list[str] | None = None,
        datetime: list[str] | None = None,
        bbox: list[float] | None = None,
        properties: list[tuple[str, Any]] | None = None,
        cql: Expr | None = None,
        geom: str | None = None,
        dt: str | None = None,
        tile: Any = None,
        tms: Any = None,
    ) -> Expr | None:
        """The condition of a request; None if it has none."""
        day = self.get_datetime_column(dt)
        if dt is not None and day is None:
            raise InvalidDatetimeColumnName(f"Invalid Datetime Column: {dt}.")
        mine: list[dict[str, Any]] = []
        if ids and self.id_column is not None:
            name = {"property": self.id_column.name}
            values = [_identity(value) for value in ids] if self.id_column.type == "uuid" else ids
            mine.append(either([{"op": "=", "args": [name, value]} for value in values]))
        place = self.get_geometry_column(geom)
        if bbox is not None and place is not None:
            mine.append({"op": "s_intersects", "args": [{"property": place.name}, area_of(bbox)]})
        if datetime and day is not None:
            mine += _within(day, datetime)
            datetime = None  # without a column for it, tipg refuses the request
        rest = super().cql_where(
            datetime=datetime, properties=properties, cql=cql, geom=geom, tile=tile, tms=tms
        )
        conditions = [Expr(one) for one in mine] + ([] if rest is None else [rest])
        return reduce(lambda one, other: one + other, conditions) if conditions else None

    def columns(self, properties: list[str] | None = None) -> list[str]:
        """Names of the columns to select. Raises InvalidPropertyName for an unknown one."""
        known = {column.name for column in self.properties}
        for name in properties or []:
            if name and name not in known:
                raise InvalidPropertyName(f"Property {name} does not exist.")
        return list(super().columns(properties))

    def _sort_expressions(self, sortby: str | None) -> list[tuple[str, str]]:
        return [(name, f"{sql} NULLS LAST") for name, sql in super()._sort_expressions(sortby)]

    def _sortby(self, sortby: str | None) -> str:
        """The order of a page: rows with equal values in the order of their identities."""
        orders = self._sort_expressions(sortby) + self._sort_expressions(None)
        return "ORDER BY " + ", ".join(sql for _, sql in orders)


def instants(text: str) -> tuple[datetime, datetime]:
    """First and last instant of an RFC 3339 day or time, in UTC.

    Raises:
        InvalidDatetime: it is neither, or a time without its zone.
    """
    try:
        if len(text) == len("2021-08-30"):
            day = date.fromisoformat(text)
            return datetime.combine(day, time.min, UTC), datetime.combine(day, time.max, UTC)
        found = datetime.fromisoformat(text.upper())
        if found.tzinfo is None:
            raise ValueError("a time must have a zone, such as Z")
        return (found.astimezone(UTC),) * 2
    except (ValueError, OverflowError) as error:
        raise InvalidDatetime(
            f"datetime={text}: {error}. Give a day (2021-08-30) or a time with its zone "
            "(2021-08-30T00:00:00Z), or two of them with / between, where .. leaves an end open"
        ) from error


def interval_of(text: str) -> list[str]:
    """One or two ends of a `datetime`, checked; an open end is `..`.

    Raises:
        InvalidDatetime: it is no interval, has no end at all, or its ends are in the wrong order.
    """
    ends = text.split("/")
    given = [instants(end) for end in ends if end not in OPEN]
    if len(ends) > 2 or not given:
        raise InvalidDatetime(f"datetime={text}: an interval has two ends, and one of them at least is given")
    if given[0][0] > given[-1][1]:
        raise InvalidDatetime(f"datetime={text}: its first end is later than its last")
    return [".." if end in OPEN else end for end in ends]


def _within(column: Column, ends: list[str]) -> list[dict[str, Any]]:
    """Conditions that a column is between two ends, both included; a date is the whole of its day in UTC."""
    first, last = ends[0], ends[-1]
    conditions = []
    for operator, end, at in ((">=", first, 0), ("<=", last, 1)):
        if end in OPEN:
            continue
        found = instants(end)[at]
        value = {"date": found.date().isoformat()}
        if column.type != "date":
            value = {"timestamp": found.isoformat().replace("+00:00", "Z")}
        conditions.append({"op": operator, "args": [{"property": column.name}, value]})
    return conditions


def _identity(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an identity (UUID)") from error
