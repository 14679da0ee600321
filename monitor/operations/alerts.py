"""Alerts of unattended runs: conditions that need a person, sent once by mail, chat or webhook (apprise).

The heartbeat is for a monitor on another machine, which raises its own alarm when it stops. Its address is
requested at the end of each run, with `/start` at the start and `/fail` where the run failed, as
healthchecks.io expects.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import requests
from pydantic import SecretStr
from sqlalchemy import Connection, text

from monitor.errors import RefusedError
from monitor.operations.calendar import season_of, today
from monitor.settings import Settings
from monitor.workspace import System
from storage import alerts, ledger, status
from storage.alerts import AlertRow, Condition
from storage.codes import RunOutcome, TaskState
from storage.policy import Z95
from storage.status import SeasonStatus

#: seconds in which a service must answer
PATIENCE = 20

_log = logging.getLogger(__name__)


def conditions(conn: Connection, system: System, now: datetime) -> list[Condition]:
    """The conditions of a workspace that need a person."""
    settings = system.workspace.settings
    rows = [row for row in status.status(conn) if row.region in settings.regions]
    found = [*_failed_run(conn)]
    for row in rows:
        found += _of_season(row)
    for name in sorted(settings.regions):
        latest = max((row.season for row in rows if row.region == name), default=None)
        found += [] if latest is None else _drained(conn, name, latest)
        found += _quiet(conn, settings, name, now)
    return [*found, *_queue(rows, settings), *_disk(system)]


def _of_season(row: SeasonStatus) -> Iterator[Condition]:
    """What is missing or doubted in a season."""
    if failed := row.tasks.get(TaskState.FAILED.value, 0):
        why = next((each.reason for each in row.reasons if each.state == "failed"), "")
        yield Condition(
            f"incomplete|{row.region}|{row.season}|{row.kind}",
            "season incomplete",
            f"{row.region} {row.season}: {failed} of {sum(row.tasks.values())} tiles failed: {why}",
            f"`monitor run --region {row.region} --season {row.season}` tries them again",
        )
    if row.suspect:
        yield Condition(
            f"suspect|{row.survey_id}",
            "suspect season",
            f"{row.region} {row.season} is suspect: {row.suspect}",
            f"`monitor review export DIR --region {row.region} --season {row.season}` has the places",
        )


def _failed_run(conn: Connection) -> Iterator[Condition]:
    last = ledger.last_run(conn)
    if last is not None and last.outcome == RunOutcome.FAILED:
        yield Condition(
            f"run failed|{last.id}",
            "run failed",
            f"`{last.command}` of {last.started_at:%Y-%m-%d %H:%M} UTC failed",
            "`monitor status` has the reasons of its tiles, the log of the scheduler all others",
        )


def _drained(conn: Connection, region: str, season: int) -> Iterator[Condition]:
    """Candidates of outbursts in the latest season of a region."""
    query = text(
        "SELECT lake_id, code, area_before_m2, area_after_m2, sigma_m2, season_from FROM lake_drainage "
        "WHERE region = :region AND season_to = :season AND NOT suspect AND NOT split ORDER BY lost_m2 DESC"
    )
    for row in conn.execute(query, {"region": region, "season": season}):
        yield Condition(
            f"drainage|{row.lake_id}|{season}",
            "drainage candidate",
            f"{row.code} in {region}: {row.area_before_m2 / 1e4:,.2f} ha in {row.season_from}, "
            f"{row.area_after_m2 / 1e4:,.2f} ha in {season}, ± {Z95 * row.sigma_m2 / 1e4:,.2f} ha",
            f"`monitor lakes history {row.code}`",
        )


def _quiet(conn: Connection, settings: Settings, region: str, now: datetime) -> Iterator[Condition]:
    """No new scene for days, within the season of a region."""
    schedule, days = settings.nights(region), settings.alerts.quiet_days
    day = today(schedule, now)
    season = season_of(schedule, day)
    if season is None or settings.regions[region].season.dates(season)[0] > day - timedelta(days=days):
        return
    query = text(
        "SELECT max(taken_at) FROM scene JOIN task_scene ON scene_id = scene.id JOIN task ON key = task_key "
        "WHERE region = :region AND season = :season"
    )
    latest: datetime | None = conn.execute(query, {"region": region, "season": season}).scalar_one()
    if latest is not None and (now - latest).days < days:
        return
    since = "none yet" if latest is None else f"the last one is of {latest:%Y-%m-%d}"
    yield Condition(
        f"quiet|{region}|{season}",
        "nothing new",
        f"{region} {season}: no scene that is used in the last {days} days, {since}",
        f"`monitor scenes --region {region} --season {season}` shows why scenes are not used",
    )


def _queue(rows: Sequence[SeasonStatus], settings: Settings) -> Iterator[Condition]:
    count = sum(row.open_flags for row in rows)
    if count > settings.alerts.queue:
        yield Condition(
            "queue|" + "|".join(sorted(settings.regions)),
            "long review queue",
            f"{count} places wait for a person, more than {settings.alerts.queue}",
            "`monitor review export DIR`",
        )


def _disk(system: System) -> Iterator[Condition]:
    folder, least = system.workspace.folder, system.workspace.settings.alerts.disk_gb
    free = shutil.disk_usage(folder).free / 1e9
    if free < least:
        yield Condition(
            f"disk|{folder}",
            "disk nearly full",
            f"{free:,.1f} GB are free for {folder}, less than {least:g} GB",
            "free some space, or move the workspace (`monitor backup`, `monitor restore`)",
        )


def checked(conn: Connection, system: System, now: datetime) -> list[AlertRow]:
    """Bring the alerts of a workspace up to date; return those that are to be sent."""
    regions = system.workspace.settings.regions
    alerts.bring_up_to_date(conn, regions, conditions(conn, system, now))
    return alerts.unsent(conn, regions)


def notify(system: System, now: datetime) -> list[AlertRow]:
    """Bring the alerts up to date, and send the new ones in one message; return those that were sent.

    A service that does not answer is a line in the log, and its alerts are sent at the next time.
    """
    settings = system.workspace.settings
    with system.database.begin() as conn:
        new = checked(conn, system, now)
    if not new or not settings.alerts.to:
        return []
    title, body = message(new, system.workspace.folder.name)
    if not _send(settings.alerts.to, title, body):
        _log.error("%d alerts could not be sent; they are in `monitor alerts list`", len(new))
        return []
    with system.database.begin() as conn:
        alerts.mark_sent(conn, [row.id for row in new])
    return new


def message(rows: list[AlertRow], workspace: str) -> tuple[str, str]:
    """Title and text of a message."""
    kinds = ", ".join(dict.fromkeys(row.kind for row in rows))
    lines = [f"{row.kind}: {row.message}\n  {row.remedy}\n  [{row.short_id}]" for row in rows]
    lines.append("`monitor alerts ack ID --by NAME` acknowledges one.")
    return f"Lake monitor, {workspace}: {kinds}", "\n\n".join(lines)


def beat(heartbeat: SecretStr | None, suffix: str = "") -> None:
    """Request the address of the heartbeat; a failure is only logged."""
    if heartbeat is None:
        return
    try:
        with _addresses_unlogged():
            requests.get(revealed(heartbeat) + suffix, timeout=PATIENCE).raise_for_status()
    except (requests.RequestException, RefusedError) as error:
        # the address is a secret
        _log.warning("the heartbeat%s was not received: %s", suffix, type(error).__name__)


def revealed(address: SecretStr) -> str:
    """An address of the settings; `env:NAME` is that of an environment variable.

    Raises:
        RefusedError: there is no such variable.
    """
    value = address.get_secret_value()
    if not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    if not os.environ.get(name):
        raise RefusedError(f"alerts: the environment variable {name} is not set")
    return os.environ[name]


def _send(addresses: tuple[SecretStr, ...], title: str, body: str) -> bool:
    """Whether every service took a message."""
    import apprise

    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Lake monitor", app_desc="Lake monitor"))
    for number, address in enumerate(addresses, 1):
        if not sender.add(revealed(address)):
            raise RefusedError(f"alerts.to: address {number} is of no kind that apprise supports")
    with _addresses_unlogged():
        return bool(sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))


@contextmanager
def _addresses_unlogged() -> Iterator[None]:
    """Suspend the log lines of libraries that hold addresses."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "urllib3.connectionpool")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
