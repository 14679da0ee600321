"""The schedule: a run every night of the season, and one final run per season.

A scheduler that was not running at the hour of a job runs it when it is started again: the ledger of runs
shows when these regions were run last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.operations.runs import Outcome, run_seasons, stale_words
from monitor.progress import LoggedProgress, Progress
from monitor.run import Report
from monitor.settings import ScheduleSettings, Settings
from monitor.workspace import Workspace, open_system
from storage import ledger

#: how late a missed nightly or final run is still started
GRACE = timedelta(days=3)
#: the command of these runs in the ledger
COMMAND = "schedule"

_log = logging.getLogger(__name__)


def due(settings: ScheduleSettings, today: date) -> list[int]:
    """Seasons to bring up to date on `today`: the current one within its months or on a final day.

    The season of a final day in January is the one of the year before, unless seasons begin in January.
    """
    if today.month in settings.month_numbers:
        return [today.year]
    if f"{today:%m-%d}" not in settings.final:
        return []
    return [today.year if today.month > settings.month_numbers[0] else today.year - 1]


def due_regions(settings: Settings, today: date) -> dict[int, list[str]]:
    """Regions whose season is due on `today` and has begun, by season."""
    found: dict[int, list[str]] = {}
    for name in sorted(settings.regions):
        for year in due(settings.nights(name), today):
            if settings.regions[name].season.dates(year)[0] <= today:
                found.setdefault(year, []).append(name)
    return found


def make_scheduler(workspace: Workspace, engine: Any) -> Any:
    """A scheduler that has not been started, with the jobs of a workspace.

    Jobs are kept in memory, because several workspaces can use one database. A run that was missed since the
    last one of these regions, which the database of `engine` knows, is started at once.
    """
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    settings = workspace.settings.nights(*workspace.settings.regions)
    scheduler = BackgroundScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": int(GRACE.total_seconds())},
    )
    days = [(int(day[:2]), int(day[3:])) for day in settings.final]
    triggers = {
        "nightly": CronTrigger(month=settings.cron_months, hour=settings.nightly_hour),
        "final": OrTrigger(
            [CronTrigger(month=month, day=day, hour=settings.nightly_hour) for month, day in days]
        ),
    }
    with engine.connect() as conn:
        last = ledger.last_start(conn, COMMAND, sorted(workspace.settings.regions))
    now = datetime.now(UTC)
    for name, trigger in triggers.items():
        scheduler.add_job(nightly, trigger, args=[str(workspace.folder)], id=name)
    since = None if last is None else max(last, now - GRACE)
    if since and any(_fires_between(trigger, since, now) for trigger in triggers.values()):
        scheduler.add_job(nightly, args=[str(workspace.folder)], id="missed")
    return scheduler


def _fires_between(trigger: Any, start: datetime, end: datetime) -> bool:
    at: datetime | None = trigger.get_next_fire_time(None, start)
    return at is not None and at < end


def run_due(
    workspace: Workspace, todo: Mapping[int, Sequence[str]], progress_of: Callable[[str], Progress]
) -> Outcome:
    """Bring seasons of regions up to date; `todo` has the regions of each season."""
    reports: list[Report] = []
    stale: tuple[tuple[str, int], ...] = ()
    with open_system(workspace) as system:
        for year, names in sorted(todo.items()):
            outcome = run_seasons(system, names, [year], COMMAND, progress_of)
            reports += outcome.reports
            stale = outcome.stale
    return Outcome(tuple(reports), stale)


def nightly(folder: str) -> None:
    """Bring the current season of every region that is due up to date: the job of the scheduler."""
    workspace, today = Workspace.open(Path(folder)), date.today()
    # a run that was missed can be started on a day on which nothing is due any more
    days = (today - timedelta(days=number) for number in range(GRACE.days + 1))
    todo = next((found for day in days if (found := due_regions(workspace.settings, day))), {})
    outcome = run_due(workspace, todo, LoggedProgress)
    for report in outcome.reports:
        _log.info(report.summary)
        if report.sensors is not None:
            _log.info(report.sensors)
        for reason, count in report.reasons.items():
            _log.warning("%d tile(s): %s", count, reason)
        if report.suspect is not None:
            _log.warning("%s %s is suspect: %s", report.region, report.season, report.suspect)
    for line in stale_words(outcome.stale):
        _log.warning(line)
