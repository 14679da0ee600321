"""Values of an inventory's columns: each is read as the type that is asked for, or is named as unreadable.

No type is guessed. A value that is missing (null, NaN, an empty text) is None; any other value that is not of
the type raises `Unreadable` with the reason, and its column is reported with the number of such values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar

from storage.policy import FIRST_SEASON, LAST_SEASON

#: heights on Earth, m
LOWEST_M, HIGHEST_M = -500, 9000
#: most years between an inventory's season and its images; those of ICIMOD lie within three
YEARS_APART = 5
#: from here on, whole numbers are not exact as floating point numbers
INEXACT = 2**53

T = TypeVar("T")


class Unreadable(ValueError):
    """A value that is not of the type that is asked for."""


@dataclass(frozen=True)
class ValueLoss:
    """A value of a row that is used without it."""

    row: int
    column: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.column} {self.value}: {self.why}"


def is_missing(value: Any) -> bool:
    """Whether a value is null, NaN, NaT or an empty text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (not isinstance(value, list | tuple | dict | bytes) and bool(value != value))  # noqa: PLR0124


def read_values(
    column: str, values: Mapping[int, Any], read: Callable[[Any], T]
) -> tuple[dict[int, T | None], list[ValueLoss]]:
    """Values by row, None where they are missing or unreadable, and the unreadable ones."""
    found: dict[int, T | None] = {}
    losses = []
    for row, value in values.items():
        found[row] = None
        if is_missing(value):
            continue
        try:
            found[row] = read(value)
        except Unreadable as error:
            losses.append(ValueLoss(row, column, shown(value), str(error)))
    return found, losses


def shown(value: Any) -> str:
    """A value for a message, not longer than 60 characters."""
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def label_of(value: Any) -> str:
    """An id as text; a whole number has no decimal point, also in a column of floating point numbers."""
    if isinstance(value, bool | list | tuple | dict | bytes):
        raise Unreadable("it is no text and no number")
    if isinstance(value, Decimal):
        value = int(value) if value == int(value) else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unreadable("it is not a finite number")
        if abs(value) >= INEXACT:
            raise Unreadable("a floating point number this large has lost its last digits; store ids as text")
        return str(int(value)) if value == int(value) else str(value)
    return _text(str(value))


def number_of(value: Any) -> float:
    """A finite number; of texts, only those with a decimal point are accepted."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unreadable("it is no number")
    try:
        number = math.nan if isinstance(value, str) and "_" in value else float(value)
    except (ValueError, OverflowError) as error:
        raise Unreadable("it is no number") from error
    if not math.isfinite(number):
        raise Unreadable("it is not a finite number")
    return number


def elevation_of(value: Any) -> float:
    """A height on Earth, m."""
    number = number_of(value)
    if not LOWEST_M <= number <= HIGHEST_M:
        raise Unreadable(f"heights on Earth are {LOWEST_M} to {HIGHEST_M} m")
    return number


def day_reader(season: int, day_format: str | None) -> Callable[[Any], date]:
    """The reader of days of a season: of dates, and of values in `day_format`.

    Without a format, ISO 8601 (2017-08-15, with or without a time), 2017/08/15, and 20170815 as text or
    number are days; 15/08/2017 is not, because 03/09/2017 can be two days.
    """

    def read(value: Any) -> date:
        day = _day(value, day_format)
        if abs(day.year - season) > YEARS_APART:
            raise Unreadable(f"it is {day}, more than {YEARS_APART} years from {season}")
        return day

    return read


def _day(value: Any, day_format: str | None) -> date:
    if isinstance(value, datetime):
        return _utc_day(value)
    if isinstance(value, date):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unreadable("it is no day")
    if isinstance(value, float | Decimal) and (not math.isfinite(value) or value != int(value)):
        raise Unreadable("it is no day")
    text = value.strip() if isinstance(value, str) else str(int(value))
    if day_format is None and text.isdigit():
        if len(text) != 8:
            raise Unreadable("it is no day of the form YYYYMMDD")
        day_format = "%Y%m%d"
    try:
        if day_format is not None:
            return datetime.strptime(text, day_format).date()
        moment = datetime.fromisoformat(text.replace("/", "-") if text[4:5] == "/" else text)
        return _utc_day(moment)
    except (ValueError, OverflowError) as error:
        wanted = f"of the form {day_format!r}" if day_format else "of the form YYYY-MM-DD"
        raise Unreadable(f"it is no day {wanted}") from error


def _utc_day(moment: datetime) -> date:
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def year_of(value: Any) -> int:
    """A year that a season can have: of a whole number, its text, or a date."""
    if isinstance(value, str):
        digits = value.strip().removesuffix(".0")
        value = int(digits) if digits.isascii() and digits.isdigit() else value
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and FIRST_SEASON <= value <= LAST_SEASON:
        return value
    try:
        year = _day(value, None).year
    except Unreadable as error:
        raise Unreadable("it is no year and no date") from error
    if not FIRST_SEASON <= year <= LAST_SEASON:
        raise Unreadable(f"a season is a year from {FIRST_SEASON} to {LAST_SEASON}")
    return year


def plain_of(value: Any) -> Any:  # noqa: PLR0911 - one return per type
    """A value as JSON: lists and structures stay what they are, dates become text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unreadable("it is not a finite number")
        return value
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [None if is_missing(part) else plain_of(part) for part in value]
    if isinstance(value, dict):
        return {_text(str(key)): None if is_missing(part) else plain_of(part) for key, part in value.items()}
    if isinstance(value, bytes):
        raise Unreadable("it is binary")
    return _text(str(value))


def _text(value: str) -> str:
    if "\0" in value:
        raise Unreadable("it has a null character, which the database cannot keep")
    return value
