"""`monitor status`: the state of every region and season."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from monitor.cli.console import out, print_json, say, season_name, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, WorkspaceOption


def status(region: RegionOption = None, workspace: WorkspaceOption = DEMO, json: JsonOption = False) -> None:
    """State of every region and season: tiles, failures, lakes, last day seen, open reviews."""
    show_status(workspace, region, json=json)


def show_status(folder: Path, region: str | None, *, json: bool) -> None:
    """Print one row for each region and season."""
    from monitor.history.regions import check_region
    from monitor.workspace import Workspace, open_database
    from storage.status import status as status_of

    workspace = Workspace.open(folder)
    with open_database(workspace) as database, database.connect() as conn:
        check_region(conn, workspace, region)
        rows = status_of(conn, region)
    if json:
        print_json([asdict(row) for row in rows])
        return
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
