"""`monitor status`: the state of every region and season."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.cli.console import out, print_json, say, season_name, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, WorkspaceOption

if TYPE_CHECKING:
    from storage.ledger import RunRow
    from storage.locks import Holder
    from storage.status import SeasonStatus


def status(region: RegionOption = None, workspace: WorkspaceOption = DEMO, json: JsonOption = False) -> None:
    """Runs now, last and next; and of every region and season: tiles, failures, lakes, open reviews."""
    from monitor.history.regions import check_region
    from monitor.operations.calendar import upcoming
    from monitor.workspace import Workspace, open_database
    from storage import ledger, locks
    from storage.status import status as status_of

    opened = Workspace.open(workspace)
    with open_database(opened) as database, database.connect() as conn:
        check_region(conn, opened, region)
        rows = status_of(conn, region)
        last, running = ledger.last_run(conn), locks.running(conn)
    coming = [
        (at, night)
        for at, night in upcoming(opened.settings, datetime.now(UTC))
        if region in (None, night.region)
    ]
    free = shutil.disk_usage(opened.folder).free
    if json:
        print_json(
            {
                "running": {name: asdict(holder) for name, holder in running.items()},
                "last_run": None if last is None else asdict(last),
                "next": [{"at": at, **asdict(night)} for at, night in coming],
                "free_bytes": free,
                "seasons": [asdict(row) for row in rows],
            }
        )
        return
    for name, holder in running.items():
        say(f"Running: {name}, by {holder}")
    if last is not None:
        say(f"Last run: {_words(last, running.values())}")
    if coming:
        at, night = coming[0]
        say(f"Next night of `monitor schedule`: {night.region} {night.season}, {at:%Y-%m-%d %H:%M} UTC")
    say(f"Free disk: {free / 1e9:,.1f} GB")
    show_seasons(rows)


def _words(last: RunRow, running: Iterable[Holder]) -> str:
    """The last run in a line."""
    ended = "not ended: it waits, or was interrupted"
    if last.finished_at is not None:
        minutes = (last.finished_at - last.started_at).total_seconds() / 60
        ended = f"{last.outcome} after {minutes:,.0f} minutes"
    elif last.id in {holder.run_id for holder in running}:
        ended = "running"
    return f"monitor {last.command}, {last.started_at:%Y-%m-%d %H:%M} UTC, {ended}"


def show_status(folder: Path) -> None:
    """Print the seasons of a workspace."""
    from monitor.workspace import Workspace, open_database
    from storage.status import status as status_of

    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        show_seasons(status_of(conn))


def show_seasons(rows: Sequence[SeasonStatus]) -> None:
    """Print one row for each region and season."""
    if not rows:
        out.print("Nothing has been run yet; start with `monitor run --season YEAR`.")
        return
    table(
        "Status",
        "region|season|tiles|>lakes|>not observed|last seen|>to review",
        [
            [
                row.region,
                season_name(row.season, row.kind),
                ", ".join(f"{count} {state}" for state, count in sorted(row.tasks.items())) or "-",
                str(row.lakes),
                str(row.not_observed),
                str(row.last_seen or "-"),
                str(row.open_flags),
            ]
            for row in rows
        ],
    )
    for row in rows:
        if row.suspect:
            say(f"{row.region} {row.season} is suspect: {row.suspect}")
        for why in row.reasons:
            out.print(
                f"{row.region} {row.season}: {why.tasks} tile(s) {why.state}: {why.reason}", highlight=False
            )
