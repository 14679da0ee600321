"""`monitor maintain`: the cubes without what nothing refers to."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from monitor.cli.console import print_json, progress_of, say
from monitor.cli.options import DEMO, JsonOption, WorkspaceOption


def maintain(
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Versions of the last days stay.")
    ] = 7.0,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Remove old versions of the cubes, and chunks of runs that were killed; results and tags stay."""
    from monitor.operations.maintenance import maintain as cleaned
    from monitor.workspace import Workspace, open_system

    with open_system(Workspace.open(workspace)) as system:
        done = cleaned(system, timedelta(days=keep_days), progress_of("maintain"))
    if json:
        print_json([asdict(each) for each in done])
        return
    for each in done:
        say(
            f"{each.cube}: {each.bytes_before / 1e6:,.1f} MB before, {each.bytes_after / 1e6:,.1f} MB now, "
            f"{each.versions_removed} versions removed"
        )
    if not done:
        say("There is no cube yet.")
