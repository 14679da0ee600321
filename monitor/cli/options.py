"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: workspace of the demo, and the default of every command
DEMO = Path("workspace/demo")


def _given_anywhere(context: typer.Context, value: Path) -> Path:
    """The workspace given after the command, else the one given before it, else the demo's."""
    source = context.get_parameter_source("workspace")
    if source is not None and source.name != "DEFAULT":
        return value
    workspace: Path = context.find_root().params.get("workspace", value)
    return workspace


WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", help="Folder with monitor.yaml.", callback=_given_anywhere),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", "-r", help="Region of the settings; all of them if not given.")
]
SeasonOption = Annotated[
    int | None, typer.Option("--season", "-s", help="Year of the late summer; this year if not given.")
]
OneSeasonOption = Annotated[int | None, typer.Option("--season", "-s", help="Only this season.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
