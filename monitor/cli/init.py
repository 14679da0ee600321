"""`monitor init`: a workspace to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.console import say


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new workspace; made if missing.")],
) -> None:
    """Write a monitor.yaml to start from, with every setting explained."""
    from monitor.errors import RefusedError
    from monitor.settings import CONFIG, SETTINGS_FILE

    settings = folder / SETTINGS_FILE
    if settings.exists():
        raise RefusedError(f"{settings} exists already; edit it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    settings.write_text((CONFIG / "monitor.example.yaml").read_text())
    say(f"{settings}: choose catalogue, model and regions in it, then `monitor -w {folder} doctor`")
