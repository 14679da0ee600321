"""`monitor`: the command line. Heavy libraries are imported inside the commands that need them."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from monitor.archive.threads import share_heaps
from monitor.cli.alerts import alerts_app
from monitor.cli.backup import backup, restore
from monitor.cli.boundary import foreseen
from monitor.cli.console import OneLine, err, styled
from monitor.cli.db import db_app
from monitor.cli.demo import demo
from monitor.cli.doctor import doctor
from monitor.cli.export import export_app, serve
from monitor.cli.glaciers import glaciers_app
from monitor.cli.init import init
from monitor.cli.inventory import inventory_app
from monitor.cli.lakes import lakes_app
from monitor.cli.maintain import maintain
from monitor.cli.models import model_app
from monitor.cli.options import DEMO
from monitor.cli.review import review_app
from monitor.cli.scenes import scenes
from monitor.cli.schedule import schedule
from monitor.cli.seasons import backfill, plan, redo, run
from monitor.cli.status import status
from monitor.errors import MonitorError, RefusedError
from segmenter.errors import SegmenterError
from storage.errors import StorageError
from storage.redaction import hide_secrets

#: exit code after Ctrl-C
INTERRUPTED = 130

app = typer.Typer(
    help="Glacial lakes, every season: mapped, compared with earlier seasons, and flagged for review.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SEASONS = (run, redo, backfill, plan, scenes, status, schedule)
for command in (demo, init, doctor, *SEASONS, backup, restore, maintain, serve):
    app.command()(command)
for name, group in {
    "lakes": lakes_app,
    "review": review_app,
    "alerts": alerts_app,
    "inventory": inventory_app,
    "glaciers": glaciers_app,
    "export": export_app,
    "model": model_app,
    "db": db_app,
}.items():
    app.add_typer(group, name=name)


@app.callback()
def options(
    workspace: Annotated[
        Path,
        typer.Option("--workspace", "-w", envvar="MONITOR_WORKSPACE", help="Folder with monitor.yaml."),
    ] = DEMO,
) -> None:
    """Options of every command; they can be given before or after it."""
    share_heaps()


def main() -> None:
    """Entry point: exit code 0 done, 1 something failed, 2 refused before any work, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a question mark for a character that it cannot show
    hide_secrets()
    if logging.lastResort is not None:  # writes warnings of modules without a handler
        logging.lastResort.setFormatter(OneLine("%(message)s"))
    try:
        app()
    except SystemExit as error:
        if error.code == INTERRUPTED:
            _end()
        raise
    except KeyboardInterrupt:  # a second one, while the first was handled
        _end()
    except (RefusedError, SegmenterError) as error:
        _print_error(error)
        sys.exit(2)
    except (MonitorError, StorageError) as error:
        _print_error(error)
        sys.exit(1)
    except BrokenPipeError:  # the reader of the output has ended, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        message = foreseen(error)
        if message is None:
            raise
        _print_error(MonitorError(message))
        sys.exit(1)


def _end() -> NoReturn:
    """End the process at once: threads that wait for a server are not waited for, as `sys.exit` does."""
    sys.stderr.write("interrupted: what is finished is kept; run the same command again to go on\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(INTERRUPTED)


def _print_error(error: Exception) -> None:
    err.print(styled(("error:", "bold red"), f" {error}"), highlight=False, soft_wrap=True)
