"""The schedule: a run every night of the season, and one final run per season.

Jobs are kept in APScheduler's own table in the database of the lake history, so that a scheduler that was not
running at the hour of a job runs it when it is started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from monitor.operations.runs import Outcome, run_seasons, stale_words
from monitor.progress import LoggedProgress, Progress
from monitor.settings import ScheduleSettings
from monitor.workspace import Workspace, open_system

#: how late a missed nightly or final run is still started
GRACE = timedelta(days=3)

_log = logging.getLogger(__name__)


def due(settings: ScheduleSettings, today: date) -> list[int]:
    """Seasons to bring up to date on `today`: this year's within its months or on the final day."""
    first, _, last = settings.months.partition("-")
    in_season = int(first) <= today.month <= int(last or first)
    return [today.year] if in_season or f"{today:%m-%d}" == settings.final else []


def make_scheduler(workspace: Workspace, engine: Any) -> Any:
    """A scheduler that has not been started, with its two jobs in the database of `engine`."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

    settings = workspace.settings.schedule
    month, day = (int(part) for part in settings.final.split("-"))
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(engine=engine, tablename="schedule_job")},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": int(GRACE.total_seconds())},
    )
    triggers = {
        "nightly": CronTrigger(month=settings.months, hour=settings.nightly_hour),
        "final": CronTrigger(month=month, day=day, hour=settings.nightly_hour),
    }
    for name, trigger in triggers.items():
        scheduler.add_job(nightly, trigger, args=[str(workspace.folder)], id=name, replace_existing=True)
    return scheduler


def run_due(workspace: Workspace, years: Sequence[int], progress_of: Callable[[str], Progress]) -> Outcome:
    """Bring seasons of every region up to date."""
    with open_system(workspace) as system:
        return run_seasons(system, workspace.region_names(None), years, "schedule", progress_of)


def nightly(folder: str) -> None:
    """Bring this year's season of every region up to date: the job of the scheduler."""
    outcome = run_due(Workspace.open(Path(folder)), [date.today().year], LoggedProgress)
    for report in outcome.reports:
        _log.info(report.summary)
        for reason, count in report.reasons.items():
            _log.warning("%d tile(s): %s", count, reason)
    for line in stale_words(outcome.stale):
        _log.warning(line)
