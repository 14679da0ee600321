"""`monitor schedule`: nightly runs of the season."""

from __future__ import annotations

import threading
from datetime import date
from typing import Annotated

import typer

from monitor.cli.console import err, progress_of
from monitor.cli.options import DEMO, WorkspaceOption


def schedule(
    once: Annotated[bool, typer.Option("--once", help="Run what is due today, then exit; for cron.")] = False,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Run every night of the season, and once more after its last scenes have arrived."""
    from monitor.operations.schedule import due_regions, make_scheduler, run_due
    from monitor.settings import SETTINGS_FILE
    from monitor.workspace import Workspace, open_database

    opened = Workspace.open(workspace)
    names = opened.region_names(None)
    if once:
        todo = due_regions(opened.settings, date.today())
        if not todo:
            err.print(f"Nothing is due on {date.today()}: see `schedule` in {opened.folder / SETTINGS_FILE}.")
            return
        from monitor.cli.seasons import print_outcome, print_size

        print_size(opened, [name for some in todo.values() for name in some], 1)
        outcome = run_due(opened, todo, progress_of)
        print_outcome(outcome)
        if any(report.failed for report in outcome.reports):
            raise typer.Exit(1)
        return
    from monitor.cli.seasons import print_size

    print_size(opened, names, 1)
    with open_database(opened) as database:
        scheduler = make_scheduler(opened, database.engine)
        scheduler.start()
        for job in scheduler.get_jobs():
            err.print(f"{job.id}: next {job.next_run_time:%Y-%m-%d %H:%M %Z}", highlight=False)
        err.print("Waiting for the next run; Ctrl-C stops the scheduler.")
        try:
            threading.Event().wait()
        except (KeyboardInterrupt, SystemExit):
            scheduler.shutdown(wait=False)
            raise  # ends the process, with a season that is being run
