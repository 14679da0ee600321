"""`monitor alerts`: conditions that need a person."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from monitor.cli.console import out, print_json, say, table
from monitor.cli.options import DEMO, JsonOption, WorkspaceOption

alerts_app = typer.Typer(help="Conditions that need a person.", no_args_is_help=True)


@alerts_app.command("list")
def list_alerts(
    every: Annotated[bool, typer.Option("--all", help="Also alerts that have ended.")] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """The alerts of the last check."""
    from monitor.workspace import Workspace, open_database
    from storage import alerts

    with open_database(Workspace.open(workspace)) as database, database.connect() as conn:
        rows = alerts.alerts(conn, ended=every)
    if json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        out.print("There is no alert.")
        return
    cells = [
        [
            row.short_id,
            f"{row.raised_at:%Y-%m-%d %H:%M}",
            row.kind,
            f"{row.message}\n{row.remedy}",
            row.state,
        ]
        for row in rows
    ]
    table("Alerts", "id|since (UTC)|kind|what, and what to do|state", cells)


@alerts_app.command()
def ack(
    alert: Annotated[str, typer.Argument(help="Id of an alert, or its first characters.")],
    by: Annotated[str, typer.Option("--by", help="Your name.")],
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Acknowledge an alert; it is not sent any more."""
    from monitor.workspace import Workspace, open_database
    from storage import alerts

    with open_database(Workspace.open(workspace)) as database, database.begin() as conn:
        row = alerts.acknowledge(conn, alert, by)
    say(f"{row.short_id}, {row.kind}: acknowledged by {by}")


@alerts_app.command()
def send(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the message, and send nothing.")] = False,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Check now, and send the new alerts; the scheduler does it after every run."""
    from datetime import UTC, datetime

    from monitor.operations.alerts import checked, message, notify
    from monitor.workspace import Workspace, open_system
    from storage import alerts

    with open_system(Workspace.open(workspace)) as system:
        settings = system.workspace.settings
        if dry_run:
            with system.database.begin() as conn:
                new = checked(conn, system, datetime.now(UTC))
                conn.rollback()
            if new:
                print(*message(new, system.workspace.folder.name), sep="\n\n")  # noqa: T201 - a plain text
            else:
                out.print("There is nothing new to send.")
            return
        sent = notify(system, datetime.now(UTC))
        if not settings.alerts.to:
            say("nothing is sent: `alerts.to` in monitor.yaml names no address")
            return
        say(f"{len(sent)} alerts sent")
        with system.database.connect() as conn:
            if alerts.unsent(conn, settings.regions):
                raise typer.Exit(1)
