"""`monitor db`: the lake history's database."""

from __future__ import annotations

import typer

from monitor.cli.console import out
from monitor.cli.options import DEMO, WorkspaceOption

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
