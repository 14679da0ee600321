"""`monitor db`: the lake history's database."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.console import err, out, print_json
from monitor.cli.options import DEMO, JsonOption, WorkspaceOption
from monitor.errors import RefusedError

if TYPE_CHECKING:
    from storage.database import Database

db_app = typer.Typer(help="The lake history's database.", no_args_is_help=True)


@db_app.command()
def upgrade(workspace: WorkspaceOption = DEMO) -> None:
    """Bring the database's schema up to date."""
    from monitor.workspace import Workspace, open_database
    from storage.database import Database

    opened = Workspace.open(workspace)
    url = opened.settings.database.url
    if url is None:
        with open_database(opened):
            out.print("The workspace's own database is up to date.")
        return
    database = Database(url)
    database.upgrade()
    out.print(f"{database.shown_url} is up to date.")
    database.dispose()


@db_app.command()
def shell(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Arguments of psql, after `--`: -- -c 'SELECT count(*) FROM lake'."),
    ] = None,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Open psql in the database; the workspace's own server runs as long as psql does."""
    from monitor.workspace import Workspace, open_database

    with open_database(Workspace.open(workspace)) as database:
        status = run_psql(database, arguments or [])
    if status:
        raise typer.Exit(status)


@db_app.command()
def url(
    keep_open: Annotated[
        bool, typer.Option("--keep-open", help="Keep the workspace's own server running until Ctrl-C.")
    ] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Print the database's URL, with its password if it has one, for psql, QGIS, GDAL and scripts."""
    from monitor.workspace import Workspace, open_database

    opened = Workspace.open(workspace)
    own = opened.settings.database.url is None
    interrupted = interruption() if own and keep_open else None
    with open_database(opened) as database:
        if json:
            print_json({"url": database.client_url, "sqlalchemy_url": database.url, "own": own})
        else:
            print(database.client_url, flush=True)  # noqa: T201 - a URL, in which rich would find markup
        if interrupted:
            err.print("The server runs until Ctrl-C.")
            interrupted.wait()
        elif own:
            err.print(
                "The server runs only while a command uses it; `--keep-open` keeps it running.",
                soft_wrap=True,
            )


def run_psql(database: Database, arguments: list[str]) -> int:
    """Run psql on this terminal, or on what is piped to it; its exit status.

    Raises:
        RefusedError: there is no psql.
    """
    from storage.embedded_system import client_program

    program = client_program("psql")
    if program is None:
        raise RefusedError(
            "psql was not found. Install it (on Debian or Ubuntu `apt-get install postgresql-client`), or "
            "connect another program to the address that `monitor db url --keep-open` prints"
        )
    address, secrets = database.client_address
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for psql, where it ends a query
    try:
        return subprocess.run(
            [str(program), address, *arguments], check=False, env={**os.environ, **secrets}
        ).returncode
    finally:
        signal.signal(signal.SIGINT, former)


def interruption() -> threading.Event:
    """An event that is set by Ctrl-C, or when the process is asked to end."""
    interrupted = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: interrupted.set())
    return interrupted
