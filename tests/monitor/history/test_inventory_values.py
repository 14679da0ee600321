"""Values of an inventory's columns: read as their declared type, or named as unreadable; never guessed."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.history.inventories.values import (
    Unreadable,
    day_reader,
    elevation_of,
    is_missing,
    label_of,
    number_of,
    plain_of,
    read_values,
    year_of,
)

days = st.dates(date(2013, 1, 1), date(2022, 12, 31))
READ = day_reader(2017, None)


@given(days)
def test_a_day_is_the_same_in_every_unambiguous_form(day: date) -> None:
    compact = f"{day:%Y%m%d}"
    forms: list[Any] = [
        *(
            day,
            datetime(day.year, day.month, day.day, 23, 59),
            day.isoformat(),
            f"{day}T05:10:00Z",
            f" {day} ",
        ),
        *(f"{day:%Y/%m/%d}", f"{day:%Y/%m/%d 10:00:00}", compact, f"{compact} "),
        *(int(compact), float(compact), Decimal(compact)),
    ]
    assert {READ(form) for form in forms} == {day}


@given(days)
def test_a_declared_format_is_the_only_one(day: date) -> None:
    for pattern in ("%d/%m/%Y", "%m/%d/%Y", "%Y%j", "%d.%m.%y", "%d %b %Y"):
        assert day_reader(2017, pattern)(day.strftime(pattern)) == day
    with pytest.raises(Unreadable, match="of the form '%d/%m/%Y'"):
        day_reader(2017, "%d/%m/%Y")(day.isoformat())


NO_DAYS: list[Any] = [
    *("03/09/2017", "9/3/17", "2017", "2017224", "August 2017", "2017-13-01", "0000-00-00", "²0170815"),
    *(2017, 2017.0, 42978, 1.5e12, 20171301, 20170230, 20170815.5, -20170815),
    *(True, [20170815], b"2017", "9999-12-31T23:59:00-05:00"),
]


@pytest.mark.parametrize("value", NO_DAYS)
def test_what_is_no_unambiguous_day_is_not_read(value: Any) -> None:
    with pytest.raises(Unreadable):
        READ(value)


@given(st.integers(1950, 2100), st.integers(-30, 30))
def test_days_far_from_the_season_are_not_of_it(season: int, apart: int) -> None:
    read = day_reader(season, None)
    value = f"{season + apart}-08-15"
    if abs(apart) <= 5:
        assert read(value).year == season + apart
    else:
        with pytest.raises(Unreadable, match=f"more than 5 years from {season}"):
            read(value)


def test_a_moment_is_the_day_in_utc() -> None:
    east = timezone(timedelta(hours=6))
    assert READ(datetime(2017, 8, 16, 3, tzinfo=east)) == date(2017, 8, 15)
    assert READ("2017-08-16T03:00:00+06:00") == date(2017, 8, 15)


@given(st.integers(1900, 2200))
def test_years(year: int) -> None:
    forms: list[Any] = [
        year,
        float(year),
        str(year),
        f"{year}.0",
        Decimal(year),
        date(year, 3, 1),
        f"{year}-01-01",
    ]
    assert {year_of(form) for form in forms} == {year}


@pytest.mark.parametrize(
    "value",
    [0, 18, 1899, 2201, "2008-2010", "2010?", 2010.5, True, "-", -9999, "20100", math.inf, [2010], "MMX"],
)
def test_what_is_no_year(value: Any) -> None:
    with pytest.raises(Unreadable):
        year_of(value)


@given(st.integers(-(2**70), 2**70))
def test_whole_numbers_as_ids_keep_all_digits(number: int) -> None:
    assert label_of(number) == label_of(Decimal(number)) == str(number)
    if abs(number) < 2**53:
        assert label_of(float(number)) == str(number)
    else:
        with pytest.raises(Unreadable, match="lost its last digits"):
            label_of(float(number))


def test_labels() -> None:
    assert [label_of(value) for value in ("007", " a ", 1.5, Decimal("1.50"))] == [
        "007",
        " a ",
        "1.5",
        "1.50",
    ]
    for value in (True, ["a"], {"a": 1}, b"a", math.inf, "a\0b"):
        with pytest.raises(Unreadable):
            label_of(value)


def test_numbers_and_heights() -> None:
    assert [number_of(value) for value in (1, 1.5, "4900.5", Decimal(2))] == [1, 1.5, 4900.5, 2]
    for value in ("4,900", "4900 m", "1_000", "nan", math.inf, True, [1], "n/a"):
        with pytest.raises(Unreadable):
            number_of(value)
    assert elevation_of("-499") == -499
    for value in (-9999, 32767, -32768, 9001):
        with pytest.raises(Unreadable, match="heights on Earth"):
            elevation_of(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.times()
    | st.datetimes() | st.decimals(allow_nan=False, allow_infinity=False) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(values)
def test_any_value_is_json_that_the_database_keeps_or_is_unreadable(value: Any) -> None:
    try:
        text = json.dumps(plain_of(value), allow_nan=False)
    except Unreadable:
        return
    assert "\\u0000" not in text


@given(st.dictionaries(st.integers(0, 50), values))
def test_each_value_is_read_missing_or_named(given_values: dict[int, Any]) -> None:
    for read in (label_of, number_of, elevation_of, READ, year_of, plain_of):
        found, losses = read_values("c", given_values, read)
        assert set(found) == set(given_values)
        empty = {row for row, value in given_values.items() if is_missing(value)}
        kept = {row for row, value in found.items() if value is not None}
        assert empty | kept | {loss.row for loss in losses} == set(given_values)
        assert len(empty) + len(kept) + len(losses) == len(given_values)
        assert all(loss.why and len(loss.value) <= 60 for loss in losses)


def test_missing_values() -> None:
    assert all(map(is_missing, (None, math.nan, "", "  ", np.datetime64("NaT"), Decimal("NaN"))))
    assert not any(map(is_missing, (0, False, "0", [], {}, b"", datetime.now(UTC))))
