"""`monitor init`: a new workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.console import say


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new workspace; created if missing.")],
) -> None:
    """Write a monitor.yaml with comments on every setting."""
    from monitor.errors import RefusedError
    from monitor.settings import CONFIG, SETTINGS_FILE

    settings = folder / SETTINGS_FILE
    if settings.exists():
        raise RefusedError(f"{settings} exists already; edit it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    settings.write_text((CONFIG / "monitor.example.yaml").read_text())
    say(f"{settings}: set catalogue, model and regions in it, then run `monitor -w {folder} doctor`")
