"""The nights of a schedule: which regions and seasons are due at a time. Pure.

A night is a day of the schedule's time zone, and is due at an hour of that day, so there is one run for each
day also where clocks are set forward or back: an hour that does not exist is the one after it, and of an hour
that comes twice it is the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from monitor.settings import ScheduleSettings, SeasonWindow, Settings
from storage.nights import LastNight

#: a scheduler that stood still for longer does not make up for the seasons before
LONGEST = timedelta(days=366)


@dataclass(frozen=True, order=True)
class Night:
    """A scheduled run of a region."""

    day: date
    region: str
    season: int
    #: the last run of the season
    final: bool = False


def season_of(schedule: ScheduleSettings, day: date) -> int | None:
    """The season to bring up to date on `day`: the current one in its months, or that of a final day.

    The season of a final day in January is the one of the year before, unless seasons begin in January.
    """
    if day.month in schedule.month_numbers:
        return day.year
    if f"{day:%m-%d}" not in schedule.final:
        return None
    return day.year if day.month > schedule.month_numbers[0] else day.year - 1


def instant(schedule: ScheduleSettings, day: date) -> datetime:
    """When the night of `day` is due (UTC)."""
    return datetime.combine(day, time(schedule.nightly_hour), ZoneInfo(schedule.time_zone)).astimezone(UTC)


def today(schedule: ScheduleSettings, now: datetime) -> date:
    """The day of the schedule's time zone."""
    return now.astimezone(ZoneInfo(schedule.time_zone)).date()


def due(
    settings: Settings, now: datetime, last: Mapping[str, LastNight], began: date, *, early: bool = False
) -> list[Night]:
    """The nights that are due and have not been run, one for each region and season.

    Nights that were missed are made up by one run, which is that of the last day. A final run that failed is
    repeated on the next day.

    Args:
        last: the last run of regions that had one.
        began: day from which nights count for a region that had none.
        early: the night of today is due before its hour.
    """
    found: dict[tuple[str, int], Night] = {}
    for region in sorted(settings.regions):
        schedule, window = settings.nights(region), settings.regions[region].season
        ended, until = last.get(region), today(schedule, now)
        since = began if ended is None else ended.day + timedelta(days=1)
        if instant(schedule, until) > now and not early:
            until -= timedelta(days=1)
        day = max(since, until - LONGEST)
        while day <= until:
            night = _night(schedule, window, region, day, ended)
            if night is not None:
                found[region, night.season] = replace(night, day=until)
            day += timedelta(days=1)
    return sorted(found.values())


def upcoming(settings: Settings, now: datetime) -> list[tuple[datetime, Night]]:
    """The next night of each region with its time (UTC), the earliest first."""
    found = []
    for region in sorted(settings.regions):
        schedule, window = settings.nights(region), settings.regions[region].season
        first = today(schedule, now)
        days = (first + timedelta(days=number) for number in range(LONGEST.days + 1))
        nights = ((instant(schedule, day), _night(schedule, window, region, day)) for day in days)
        found += [next((at, night) for at, night in nights if night is not None and at > now)]
    return sorted(found)


def _night(
    schedule: ScheduleSettings, window: SeasonWindow, region: str, day: date, ended: LastNight | None = None
) -> Night | None:
    """The night of a region on a day of its schedule; None if it has none, or its season has not begun."""
    season = season_of(schedule, day)
    if season is None:
        failed = ended is not None and ended.final and not ended.done
        return Night(day, region, ended.season, final=True) if ended is not None and failed else None
    if window.dates(season)[0] > day:
        return None
    return Night(day, region, season, final=day.month not in schedule.month_numbers)
