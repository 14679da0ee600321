"""The nights of a schedule: one for each day, in any time zone, whenever the clock is read."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.operations.calendar import Night, due, instant, season_of, upcoming
from monitor.settings import ScheduleSettings, Settings
from storage.nights import LastNight

#: clocks of Zurich are set back on 25 October 2026 at 3, of Santiago forward on 6 September at midnight, of
#: Lord Howe by half an hour on 4 October
ZONES = ("UTC", "Europe/Zurich", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe")
NORTH = {"bounds": [76, 42, 77, 43]}
SOUTH = {"bounds": [-73, -50, -72, -49], "season": {"start": "01-01", "end": "03-31"}}


def settings_of(regions: dict[str, Any] | None = None, **schedule: Any) -> Settings:
    content = {"catalog": {"profile": "plain"}, "model": "m", "regions": regions or {"north": NORTH}}
    return Settings.model_validate({**content, "schedule": schedule})


class Ledger:
    """The nights that were run, and how they ended."""

    def __init__(self) -> None:
        self.last: dict[str, LastNight] = {}
        self.run: list[Night] = []

    def tick(self, settings: Settings, now: datetime, began: date, *, failing: bool = False) -> None:
        for night in due(settings, now, self.last, began):
            self.run.append(night)
            self.last[night.region] = LastNight(night.day, night.season, night.final, not failing)


@pytest.mark.parametrize(
    ("today", "season"),
    [
        (date(2026, 7, 1), 2026),
        (date(2026, 10, 31), 2026),
        (date(2026, 11, 1), None),
        (date(2026, 11, 15), 2026),
        (date(2026, 3, 3), None),
    ],
)
def test_seasons_of_days(today: date, season: int | None) -> None:
    assert season_of(ScheduleSettings(), today) == season


@pytest.mark.parametrize(
    ("months", "final", "today", "season"),
    [
        ("11-3", "04-15", date(2027, 1, 15), 2027),
        ("11-3", "04-15", date(2026, 12, 15), 2026),
        ("11-3", "04-15", date(2027, 4, 15), 2027),
        ("11-3", "04-15", date(2027, 4, 14), None),
        ("1-4", "05-15", date(2027, 7, 1), None),
        ("10-12", "01-15", date(2027, 1, 15), 2026),
        ("1-4,7-10", ["05-15", "11-15"], date(2027, 5, 15), 2027),
        ("8", "11-15", date(2027, 8, 31), 2027),
    ],
)
def test_seasons_anywhere_on_earth(
    months: str, final: str | list[str], today: date, season: int | None
) -> None:
    assert season_of(ScheduleSettings(months=months, final=final), today) == season


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [0, 2, 3, 23])
def test_ninety_nights_are_run_once_each(zone: str, hour: int) -> None:
    """The clock is read every few minutes, from August to November of 2026."""
    settings = settings_of(time_zone=zone, nightly_hour=hour)
    ledger, chance = Ledger(), random.Random(hour)
    began = now = datetime(2026, 8, 3, 12, tzinfo=UTC)
    seen: dict[date, datetime] = {}
    while now < datetime(2026, 11, 20, 12, tzinfo=UTC):
        before = len(ledger.run)
        ledger.tick(settings, now, began.date())
        seen |= {night.day: now for night in ledger.run[before:]}
        now += timedelta(minutes=chance.randint(1, 20))
    days = [night.day for night in ledger.run]
    first = days[0]
    assert first <= date(2026, 8, 4) and days == sorted(days)
    nights = [first + timedelta(days=number) for number in range((date(2026, 10, 31) - first).days + 1)]
    assert days == [*nights, date(2026, 11, 15)], "one a day, and the final one"
    assert [night.final for night in ledger.run] == [False] * len(nights) + [True]
    schedule = settings.nights("north")
    late = [at - instant(schedule, day) for day, at in seen.items() if day != first]
    assert timedelta() <= min(late) and max(late) <= timedelta(minutes=20)


def test_an_hour_that_does_not_exist_and_one_that_comes_twice() -> None:
    zurich = ScheduleSettings(time_zone="Europe/Zurich", nightly_hour=2)
    assert instant(zurich, date(2026, 3, 29)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert instant(zurich, date(2026, 10, 25)) == datetime(2026, 10, 25, 0, tzinfo=UTC)
    assert instant(zurich, date(2026, 10, 26)) == datetime(2026, 10, 26, 1, tzinfo=UTC)
    santiago = ScheduleSettings(time_zone="America/Santiago", nightly_hour=0)
    assert instant(santiago, date(2026, 9, 6)) == datetime(2026, 9, 6, 4, tzinfo=UTC)


@given(pauses=st.lists(st.integers(1, 60), min_size=1, max_size=20), failing=st.booleans())
def test_nights_that_were_missed_are_made_up_by_one(pauses: list[int], failing: bool) -> None:
    """The scheduler runs on some days only."""
    settings = settings_of({"north": NORTH, "south": SOUTH})
    ledger, now = Ledger(), datetime(2026, 1, 20, 12, tzinfo=UTC)
    began = now.date()
    for pause in pauses:
        ledger.tick(settings, now, began, failing=failing)
        before = len(ledger.run)
        ledger.tick(settings, now, began, failing=failing)
        assert len(ledger.run) == before, "nothing is due twice"
        now += timedelta(days=pause)
    assert max(Counter(ledger.run).values(), default=0) <= 1
    for night in ledger.run:
        first, _ = settings.regions[night.region].season.dates(night.season)
        assert first <= night.day


def test_a_final_run_that_was_missed_is_done_on_the_next_day_and_repeated_while_it_fails() -> None:
    settings = settings_of()
    ledger, began = Ledger(), date(2026, 8, 1)
    ledger.last["north"] = LastNight(date(2026, 10, 31), 2026, final=False, done=True)
    for hour in (12, 13):
        ledger.tick(settings, datetime(2026, 11, 18, hour, tzinfo=UTC), began, failing=True)
    assert ledger.run == [Night(date(2026, 11, 18), "north", 2026, final=True)]
    for day in (19, 20, 21):
        ledger.tick(settings, datetime(2026, 11, day, 12, tzinfo=UTC), began, failing=day == 19)
    assert ledger.run[1:] == [Night(date(2026, 11, day), "north", 2026, final=True) for day in (19, 20)]


def test_regions_of_both_hemispheres_are_due_in_their_own_seasons() -> None:
    def due_on(day: date, **schedule: Any) -> set[tuple[str, int]]:
        settings = settings_of({"north": NORTH, "south": SOUTH}, **schedule)
        now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        return {(night.region, night.season) for night in due(settings, now, {}, day)}

    assert due_on(date(2027, 2, 1)) == {("south", 2027)}
    assert due_on(date(2027, 8, 1)) == {("north", 2027)}
    assert due_on(date(2027, 5, 15)) == {("south", 2027)}
    assert due_on(date(2027, 11, 15)) == {("north", 2027)}
    assert due_on(date(2027, 6, 1)) == set()
    # months for all regions: the season of the north has not begun in January
    assert due_on(date(2027, 1, 15), months="1-12") == {("south", 2027)}
    assert due_on(date(2027, 12, 15), months="1-12") == {("north", 2027), ("south", 2027)}


def test_a_cron_job_before_the_hour_runs_the_night_of_the_day() -> None:
    settings, now = settings_of(nightly_hour=22), datetime(2026, 8, 3, 12, tzinfo=UTC)
    assert due(settings, now, {}, now.date()) == []
    night = Night(date(2026, 8, 3), "north", 2026)
    assert due(settings, now, {}, now.date(), early=True) == [night]
    run = {"north": LastNight(night.day, 2026, final=False, done=True)}
    assert due(settings, now, run, now.date(), early=True) == []


def test_the_next_night_of_each_region() -> None:
    settings = settings_of({"north": NORTH, "south": SOUTH}, time_zone="Asia/Kathmandu")
    (south_at, south), (north_at, north) = upcoming(settings, datetime(2026, 4, 30, 12, tzinfo=UTC))
    assert (south.region, south.day, south.final) == ("south", date(2026, 5, 15), True)
    assert south_at == datetime(2026, 5, 14, 20, 15, tzinfo=UTC)
    assert (north.region, north.day, north.final) == ("north", date(2026, 7, 1), False)
    assert north_at == datetime(2026, 6, 30, 20, 15, tzinfo=UTC)
