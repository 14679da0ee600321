"""What happens when: every night of the season, and one final run a season, kept in the same database.

Jobs live in APScheduler's own table beside the lake history, so that a scheduler that was down at the hour
catches up when it comes back.
"""

from __future__ import annotations

import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import typer

from monitor.console import err
from monitor.settings import ScheduleSettings, Workspace
from monitor.system import open_database, open_system

#: how late a missed night or final run is still worth doing
GRACE = timedelta(days=3)


def due(settings: ScheduleSettings, today: date) -> list[int]:
    """Seasons to bring up to date on `today`: this year's within its months or on the final day."""
    first, _, last = settings.months.partition("-")
    in_season = int(first) <= today.month <= int(last or first)
    return [today.year] if in_season or f"{today:%m-%d}" == settings.final else []


def keep_schedule(folder: Path, *, once: bool) -> None:
    """Do what is due today and end (`once`), or wait for every night until interrupted."""
    workspace = Workspace.open(folder)
    if once:
        years = due(workspace.settings.schedule, date.today())
        if not years:
            err.print(
                f"Nothing is due on {date.today()}: see `schedule` in {workspace.folder / 'monitor.yaml'}."
            )
            return
        if nightly(str(workspace.folder)):
            raise typer.Exit(1)
        return
    with open_database(workspace) as database:
        scheduler = make_scheduler(workspace, database.engine)
        scheduler.start()
        for job in scheduler.get_jobs():
            err.print(f"{job.id}: next {job.next_run_time:%Y-%m-%d %H:%M %Z}", highlight=False)
        err.print("Waiting; Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except (KeyboardInterrupt, SystemExit):
            scheduler.shutdown(wait=False)


def make_scheduler(workspace: Workspace, engine: Any) -> Any:
    """A scheduler, not started, whose two jobs stand in the database of `engine`."""
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


def nightly(folder: str) -> bool:
    """Bring this year's season of every region up to date; whether a tile failed."""
    from monitor.commands import say_report, work_seasons

    workspace = Workspace.open(Path(folder))
    with open_system(workspace) as system:
        names = sorted(workspace.regions())
        reports = work_seasons(system, names, [date.today().year], "schedule")
    for report in reports:
        say_report(report)
    return any(report.failed for report in reports)
