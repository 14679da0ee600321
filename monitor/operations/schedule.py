"""The schedule: a run every night of the season, and one final run per season.

What is due follows from the settings, the clock and the nights in the database
(`monitor.operations.calendar`), so several schedulers, on one or several machines, and
`monitor schedule --once` of a cron job can share the work: the first one runs a night, and the others find it
done. Nights that were missed are made up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from monitor.operations.alerts import beat, notify
from monitor.operations.calendar import due, today, upcoming
from monitor.operations.runs import Outcome, Wanted, run_seasons, stale_words
from monitor.progress import Progress
from monitor.workspace import System, Workspace
from storage import nights
from storage.database import Database

#: the command of these runs in the ledger
COMMAND = "schedule"
#: the clock is read at least this often: it can be set, and a computer can sleep
LONGEST_SECONDS = 60.0
#: seconds until the next try where a run could not begin, as with an archive that does not answer
RETRY_SECONDS = 900.0

#: conditions are also checked between runs
CHECK_EVERY = timedelta(hours=1)

_log = logging.getLogger(__name__)


def run_due(
    system: System,
    progress_of: Callable[[str], Progress],
    now: datetime,
    began: datetime,
    *,
    early: bool = False,
) -> Outcome | None:
    """Run the nights that are due at `now`; None if there are none. See `calendar.due`.

    Args:
        began: when this scheduler began; earlier nights of a region that never had one are not made up.
        early: the night of today is due before its hour.
    """
    settings = system.workspace.settings
    with system.database.connect() as conn:
        last = nights.last_nights(conn)
    found = due(settings, now, last, today(settings.schedule, began), early=early)
    if not found:
        return None
    wanted = [Wanted(night.region, night.season, night) for night in found]
    beat(settings.alerts.heartbeat, "/start")
    try:
        outcome = run_seasons(system, wanted, COMMAND, progress_of)
    except Exception:
        beat(settings.alerts.heartbeat, "/fail")
        send_alerts(system, now)
        raise
    failed = any(report.failed for report in outcome.reports)
    beat(settings.alerts.heartbeat, "/fail" if failed else "")
    send_alerts(system, now)
    return outcome


def send_alerts(system: System, now: datetime) -> None:
    """Send the new alerts. What goes wrong with that is logged, and does not end a run."""
    try:
        notify(system, now)
    except Exception as error:  # of any of apprise's services
        _log.error("the alerts could not be sent: %s", error)


def keep_running(
    folder: Path,
    database: Database,
    progress_of: Callable[[str], Progress],
    stop: Event,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Run every night when it is due, until `stop` is set. A run that fails does not end the scheduler.

    Settings and catalogue are opened anew each time, so that changes of both are seen.
    """
    began = now = checked = clock()
    while not stop.is_set():
        pause = LONGEST_SECONDS
        try:
            system = System(Workspace.open(folder), database)
            if now - checked >= CHECK_EVERY:  # such as the disk, or an archive without new scenes
                send_alerts(system, now)
                checked = now
            outcome = run_due(system, progress_of, now, began)
        except Exception as error:  # also of a library: the scheduler goes on, and the log has the place
            _log.error(
                "the run failed: %s; the next try is in %d minutes", error, RETRY_SECONDS // 60, exc_info=True
            )
            pause = RETRY_SECONDS
        else:
            if outcome is not None:
                _report(outcome)
                for at, night in upcoming(system.workspace.settings, now):
                    _log.info("%s: next run %s", night.region, f"{at:%Y-%m-%d %H:%M} UTC")
        stop.wait(pause)
        now = clock()


def _report(outcome: Outcome) -> None:
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
