"""`monitor backup` and `monitor restore`: a workspace at one moment, kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.console import print_json, progress_of, say
from monitor.cli.options import DEMO, JsonOption, WorkspaceOption


def backup(
    into: Annotated[Path, typer.Argument(help="Folder for backups; each is a new folder in it.")],
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write database, cubes, settings and outlines of a workspace to a new folder."""
    from monitor.operations.backup import back_up
    from monitor.workspace import Workspace, open_system

    with open_system(Workspace.open(workspace)) as system:
        folder, about = back_up(system, into, progress_of("backup"))
    if json:
        print_json({"folder": str(folder), **about.model_dump(mode="json")})
        return
    say(f"{folder}: {about.size / 1e6:,.1f} MB, {sum(about.rows.values()):,} rows")
    say(f"To use it: `monitor restore {folder} FOLDER`")


def restore(
    backup: Annotated[Path, typer.Argument(help="Folder that `monitor backup` wrote.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the new workspace.")],
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="Another monitor.yaml, as with another database."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a new workspace from a backup, and compare it with the backup."""
    from monitor.operations.backup import restore as restored

    about = restored(backup, folder, progress_of("restore"), settings)
    if json:
        print_json({"folder": str(folder), **about.model_dump(mode="json")})
        return
    say(f"{folder}: as on {about.made_at:%Y-%m-%d %H:%M} UTC, {sum(about.rows.values()):,} rows")
    say(f"Next: `monitor status -w {folder}`")
