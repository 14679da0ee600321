"""`monitor schedule`: nightly runs of the season."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.console import err, progress_of
from monitor.cli.options import DEMO, WorkspaceOption

if TYPE_CHECKING:
    from monitor.settings import Settings


def schedule(
    once: Annotated[bool, typer.Option("--once", help="Run what is due today, then exit; for cron.")] = False,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Run every night of the season, and once more after its last scenes have arrived."""
    from monitor.cli.seasons import print_outcome, print_size
    from monitor.operations.schedule import keep_running, run_due
    from monitor.progress import LoggedProgress
    from monitor.settings import SETTINGS_FILE
    from monitor.workspace import Workspace, open_system

    opened = Workspace.open(workspace)
    print_size(opened, opened.region_names(None), 1)
    with open_system(opened) as system:
        now = datetime.now(UTC)
        if once:
            outcome = run_due(system, progress_of, now, now, early=True)
            if outcome is None:
                err.print(f"Nothing is due: see `schedule` in {opened.folder / SETTINGS_FILE}.")
                _say_next(opened.settings, now)
                return
            print_outcome(outcome)
            if any(report.failed for report in outcome.reports):
                raise typer.Exit(1)
            return
        _say_next(opened.settings, now)
        err.print("Waiting for the next run; Ctrl-C stops the scheduler.")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is done is recorded
        keep_running(opened.folder, system.database, LoggedProgress, threading.Event())


def _say_next(settings: Settings, now: datetime) -> None:
    from monitor.operations.calendar import upcoming

    for at, night in upcoming(settings, now):
        err.print(f"{night.region}: next run {at:%Y-%m-%d %H:%M} UTC", highlight=False)
