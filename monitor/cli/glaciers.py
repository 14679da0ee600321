"""`monitor glaciers`: outlines of glaciers, near which lakes count as glacial."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.console import print_json, progress_of, say
from monitor.cli.options import DEMO, ForceOption, JsonOption, WorkspaceOption

glaciers_app = typer.Typer(help="Glacier outlines of the regions.", no_args_is_help=True)


@glaciers_app.command()
def fetch(
    region: Annotated[str, typer.Argument(help="Region of the settings, or of High Mountain Asia.")],
    force: ForceOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Download the outlines of RGI 7.0 for a region; needs a free Earthdata login in ~/.netrc."""
    fetch_region(workspace, region, force=force, json=json)


def fetch_region(folder: Path, region: str, *, force: bool, json: bool) -> None:
    """Write the outlines near a region, and print the lines that monitor.yaml needs."""
    from monitor.operations.glaciers import fetch_glaciers
    from monitor.settings import SETTINGS_FILE
    from monitor.workspace import Workspace

    workspace = Workspace.open(folder)
    fetched = fetch_glaciers(workspace, region, force=force, progress=progress_of(f"glaciers of {region}"))
    if json:
        print_json(asdict(fetched))
        return
    say(f"{fetched.file}: {fetched.glaciers} glaciers of RGI 7.0 ({', '.join(fetched.rgi_regions)})")
    if fetched.settings:
        say(f"To use them, add to {workspace.folder / SETTINGS_FILE}:")
        print(fetched.settings)  # noqa: T201 - YAML, in which rich would find markup
