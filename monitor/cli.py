"""`monitor`: the one way in. Commands read settings, call the path and print; heavy libraries load late."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli_export import export_app
from monitor.cli_models import model_app
from monitor.errors import MonitorError, RefusedError
from segmenter.errors import SegmenterError
from storage.errors import StorageError

app = typer.Typer(
    help="Glacial lakes, every season: found, remembered, compared, and checked where it matters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
lakes_app = typer.Typer(help="Lakes and their history.", no_args_is_help=True)
review_app = typer.Typer(help="What a person should look at again.", no_args_is_help=True)
inventory_app = typer.Typer(help="Other people's inventories in the same history.", no_args_is_help=True)
db_app = typer.Typer(help="The lake history's database.", no_args_is_help=True)
app.add_typer(lakes_app, name="lakes")
app.add_typer(review_app, name="review")
app.add_typer(inventory_app, name="inventory")
app.add_typer(db_app, name="db")
app.add_typer(model_app, name="model")
app.add_typer(export_app, name="export")

DEMO = Path("workspace/demo")
WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="MONITOR_WORKSPACE", help="Folder with monitor.yaml."),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", "-r", help="Region of the settings; all of them without it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
SeasonOption = Annotated[
    int | None, typer.Option("--season", "-s", help="Year of the late summer; this year without it.")
]


@app.command()
def demo(workspace: WorkspaceOption = DEMO) -> None:
    """Simulate a small mountain range, run three seasons, show lakes, changes and the review queue."""
    from monitor.demo import run_demo

    run_demo(workspace)


@app.command()
def run(
    season: SeasonOption = None,
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Bring one season up to date."""
    from datetime import date

    from monitor.commands import seasons

    year = season or date.today().year
    seasons(workspace, region, [year], f"run --season {year}", json=json)


@app.command()
def backfill(
    years: Annotated[str, typer.Option("--years", help="For example 2017-2023.")],
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Bring a range of seasons up to date, oldest first; what was done before is not done again."""
    from monitor.commands import seasons
    from monitor.settings import parse_years

    seasons(workspace, region, parse_years(years), f"backfill --years {years}", json=json)


@app.command()
def plan(
    season: Annotated[str, typer.Option("--season", "-s", "--years", help="A year, or 2017-2023.")],
    region: RegionOption = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Say what a run would do and why, without doing it."""
    from monitor.commands import show_plan
    from monitor.settings import parse_years

    show_plan(workspace, region, parse_years(season), json=json)


@app.command()
def scenes(
    region: RegionOption = None,
    season: SeasonOption = None,
    everything: Annotated[bool, typer.Option("--all", help="List every id and every cell.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--map", help="Also draw each cell's best date and its cloud: a PNG.")
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Say which scenes a season would be made of, why not the others, and what is missing."""
    from monitor.scene_tables import show_scenes

    show_scenes(workspace, region, season, everything=everything, picture=picture, json=json)


@app.command()
def doctor(
    region: RegionOption = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Profile of another catalogue whose reflectance must be the same: earth-search."),
    ] = None,
    compare_location: Annotated[
        str | None, typer.Option(help="Folder or URL of that catalogue, if not at its profile's address.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one check may take.")] = 120,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Say whether this workspace is fit to run: settings, model, catalogue, offsets, database, machine."""
    from monitor.doctor.report import show_doctor

    show_doctor(workspace, region, compare, compare_location, timeout, json=json)


@app.command()
def status(region: RegionOption = None, workspace: WorkspaceOption = DEMO, json: JsonOption = False) -> None:
    """Where every region and season stands: tiles, failures, lakes, last look, open reviews."""
    from monitor.reports import show_status

    show_status(workspace, region, json=json)


@lakes_app.command("list")
def lakes_list(
    region: RegionOption = None,
    limit: Annotated[int, typer.Option(help="How many, largest first.")] = 20,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Known lakes, largest first."""
    from monitor.reports import show_lakes

    show_lakes(workspace, region, limit, json=json)


@lakes_app.command("history")
def lakes_history(
    lake: Annotated[str, typer.Argument(help="Identity or inventory code, or the beginning of one.")],
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the curve for a report: a .png or an .svg.")
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Every season of one lake, drawn and listed: area with its error, or why it was not seen."""
    from monitor.reports import show_history

    show_history(workspace, lake, picture, json=json)


@lakes_app.command("changes")
def lakes_changes(
    start: Annotated[int, typer.Option("--from", help="Earlier season.")],
    end: Annotated[int, typer.Option("--to", help="Later season.")],
    region: RegionOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also lakes without a significant change.")
    ] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """What changed between two seasons, beyond the error of both."""
    from monitor.reports import show_changes

    show_changes(workspace, region, start, end, everything=everything, json=json)


@review_app.command("list")
def review_list(
    region: RegionOption = None,
    season: Annotated[int | None, typer.Option("--season", "-s", help="Only this season.")] = None,
    explained: Annotated[bool, typer.Option("--all", help="Also disagreements that are explained.")] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """The open review queue, most doubtful first."""
    from monitor.reports import show_queue

    show_queue(workspace, region, season, explained=explained, json=json)


@review_app.command("export")
def review_export(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if missing.")],
    region: RegionOption = None,
    season: Annotated[int | None, typer.Option("--season", "-s", help="Only this season.")] = None,
    explained: Annotated[bool, typer.Option("--all", help="Also disagreements that are explained.")] = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write the queue as GeoJSON and one picture a chip: colours, index, mask and probability."""
    from monitor.commands import export_queue

    export_queue(workspace, folder, region, season, explained=explained, json=json)


@inventory_app.command("import")
def inventory_import(
    file: Annotated[
        Path, typer.Argument(help="Shapefile, GeoPackage, GeoJSON, GeoParquet, any vector file; any CRS.")
    ],
    year: Annotated[
        int | None,
        typer.Option("--year", help="The season it shows; every year of its year column without it."),
    ] = None,
    region: RegionOption = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping", help="What its columns mean: a name of config/inventories, or a YAML file."
        ),
    ] = None,
    year_column: Annotated[
        str | None, typer.Option(help="Column with the year, for a file that holds several.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Name to keep it under; the file's name without it.")
    ] = None,
    complete: Annotated[
        bool | None,
        typer.Option("--complete/--partial", help="It drew every lake: a known lake left out was not there."),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(help="What it covers, if less than the region: west,south,east,north in degrees."),
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Import an inventory as seasons of the lake history; twice changes nothing."""
    from monitor.commands import import_file

    overrides = {"year": year_column, "source": source, "complete": complete, "bounds": bounds}
    import_file(workspace, file, year, region, mapping, overrides, json=json)


@inventory_app.command("list")
def inventory_list(
    region: RegionOption = None, workspace: WorkspaceOption = DEMO, json: JsonOption = False
) -> None:
    """Imported inventories, season by season."""
    from monitor.reports import show_inventories

    show_inventories(workspace, region, json=json)


@app.command()
def schedule(
    once: Annotated[bool, typer.Option("--once", help="Do what is due today, then end: for cron.")] = False,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Run every night of the season, and once more when its last scenes are in."""
    from monitor.schedule import keep_schedule

    keep_schedule(workspace, once=once)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own is open to everyone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Offer lakes, history and changes to maps and scripts: OGC API Features and vector tiles, read-only."""
    from monitor.serve import serve_lakes

    serve_lakes(workspace, host, port)


@db_app.command("upgrade")
def db_upgrade(workspace: WorkspaceOption = DEMO) -> None:
    """Bring the database's schema up to date."""
    from monitor.commands import upgrade

    upgrade(workspace)


def main() -> None:
    """Entry point: 0 done, 1 something failed (and it says what), 2 refused before starting."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without a letter of ours gets a question mark
            stream.reconfigure(errors="replace")
    try:
        app()
    except (RefusedError, SegmenterError) as error:
        _say(error)
        sys.exit(2)
    except (MonitorError, StorageError) as error:
        _say(error)
        sys.exit(1)


def _say(error: Exception) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {escape(str(error))}")
