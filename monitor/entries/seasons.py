"""Days, months and seasons, as people give them in settings and commands."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor.errors import RefusedError
from storage import policy

#: Sentinel-2 has taken images since then
FIRST_SEASON = 2015
#: days between the last scenes of a season and the final run
FINAL_AFTER = 15


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _month_day(text: str) -> str:
    """Check a day of every year, `MM-DD`."""
    if not re.fullmatch("[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text} is not a month and a day, such as 07-01")
    first, last = int(text[:2]), int(text[3:])
    try:
        date(2023, first, last)  # not a leap year: 29 February is refused, because most years lack it
    except ValueError as error:
        swapped = 1 <= last <= 12 < first <= 31
        hint = f"; the month comes first: {text[3:]}-{text[:2]}" if swapped else ""
        raise ValueError(f"{text} is not a day of every year, month and day{hint}") from error
    return text


MonthDay = Annotated[str, AfterValidator(_month_day)]


def _month_later(day: str) -> str:
    """The same day of the next month, its last day for the last day of a month; not after 31 December."""
    month, number = int(day[:2]), int(day[3:])
    if month == 12:
        return "12-31"
    last = monthrange(2023, month + 1)[1]
    return f"{month + 1:02d}-{last if number == monthrange(2023, month)[1] else min(number, last):02d}"


class SeasonWindow(Section):
    """Days of the year that count as late summer, `MM-DD`, both included, within one calendar year."""

    start: MonthDay = "07-01"
    end: MonthDay = "09-30"
    #: last day of the dates that are used where no date up to `end` is clear; a month after `end` by default
    late: MonthDay = Field(default_factory=lambda given: _month_later(given.get("end", "09-30")))

    def dates(self, year: int) -> tuple[date, date]:
        """First and last day in `year`."""
        return date.fromisoformat(f"{year}-{self.start}"), date.fromisoformat(f"{year}-{self.end}")

    def reserve(self, year: int) -> date:
        """Last day in `year` whose scenes can be used."""
        return date.fromisoformat(f"{year}-{self.late}")

    @model_validator(mode="after")
    def _forwards(self) -> SeasonWindow:
        if self.start > self.end:
            raise ValueError(
                f"season starts {self.start} after it ends {self.end}; a season lies within one calendar "
                f"year, so one that begins before New Year is cut: 01-01 to {self.end}"
            )
        if self.late < self.end:
            raise ValueError(f"late, {self.late}, lies before the season's end, {self.end}")
        return self


def _one_or_more(value: Any) -> Any:
    """One value as a list of one."""
    return [value] if isinstance(value, str) else value


def _months(text: str) -> str:
    """Check months such as `7-10`, `11-3` (over New Year) or `1-4,7-10`."""
    one = "[0-9]{1,2}(-[0-9]{1,2})?"
    if not re.fullmatch(f"{one}(,{one})*", text):
        raise ValueError(f"{text}: write months as numbers, such as 7-10, 11-3 or 1-4,7-10")
    if not all(1 <= int(month) <= 12 for month in re.findall(r"\d+", text)):
        raise ValueError(f"{text}: months are numbers from 1 to 12")
    return text


def _time_zone(name: str) -> str:
    """Check the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name} is not a time zone, such as UTC or Asia/Kathmandu") from error
    return name


class ScheduleSettings(Section):
    """When `monitor schedule` runs: hour of the day in a time zone, months of the year.

    Months and final days that are not given follow from the seasons of the regions.
    """

    nightly_hour: Annotated[int, Field(ge=0, le=23)] = 2
    #: a name of the tz database, such as Asia/Kathmandu
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    #: one or more ranges; a range such as 11-3 continues over New Year
    months: Annotated[str, AfterValidator(_months)] = "7-10"
    #: days of the last runs of a season, MM-DD, after late and reprocessed scenes have arrived
    final: Annotated[tuple[MonthDay, ...], BeforeValidator(_one_or_more)] = ("11-15",)

    @property
    def month_numbers(self) -> list[int]:
        """The months, sorted."""
        found: set[int] = set()
        for part in self.months.split(","):
            first, _, last = part.partition("-")
            count = (int(last or first) - int(first)) % 12 + 1
            found |= {(int(first) - 1 + number) % 12 + 1 for number in range(count)}
        return sorted(found)

    @classmethod
    def following(cls, windows: Iterable[SeasonWindow], **given: Any) -> ScheduleSettings:
        """Settings whose months and final days follow from seasons, except what is given."""
        windows = list(windows)
        months = dict.fromkeys(f"{int(window.start[:2])}-{int(window.late[:2])}" for window in windows)
        finals = dict.fromkeys(
            f"{window.reserve(2023) + timedelta(days=FINAL_AFTER):%m-%d}" for window in windows
        )
        return cls.model_validate({"months": ",".join(months), "final": list(finals), **given})


def parse_years(text: str) -> list[int]:
    """`2021-2023`, `2021` or `2017,2019-2021` as a sorted list of seasons that can be mapped.

    Raises:
        RefusedError: not years, backwards, before Sentinel-2, or after this year.
    """
    one = "[0-9]{1,9}(-[0-9]{1,9})?"
    if not re.fullmatch(f"{one}(,{one})*", text):
        raise RefusedError(f"{text!r} is not years such as 2021, 2017-2023 or 2017,2019-2021")
    years: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = int(first), int(last or first)
        if start > end:
            raise RefusedError(f"the years {part} run backwards; write {end}-{start}")
        this_year = date.today().year
        if start < FIRST_SEASON or end > this_year:
            raise RefusedError(
                f"{part}: seasons are years from {FIRST_SEASON}, the first with images of Sentinel-2, "
                f"to {this_year}; later ones have not begun"
            )
        years |= set(range(start, end + 1))
    return sorted(years)


def check_inventory_year(year: int) -> None:
    """Check the season of an inventory, which can be older than Sentinel-2.

    Raises:
        RefusedError: it is before 1900, or after this year.
    """
    this_year = date.today().year
    if not policy.FIRST_SEASON <= year <= this_year:
        raise RefusedError(
            f"--year {year}: the season of an inventory is a year from {policy.FIRST_SEASON} to {this_year}"
        )


def season_or_this(season: int | None) -> int:
    """A season that can be mapped; this year's if None is given.

    Raises:
        RefusedError: before Sentinel-2, or after this year.
    """
    (year,) = parse_years(str(date.today().year if season is None else season))
    return year
