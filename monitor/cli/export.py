"""`monitor export` and `monitor serve`: lakes and masks for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.console import err, out, print_json, progress_of, say, styled
from monitor.cli.options import DEMO, ForceOption, JsonOption, WorkspaceOption
from monitor.errors import RefusedError
from monitor.export.formats import RasterFormat, TableFormat, table_format

export_app = typer.Typer(help="Lakes and masks as files for other programs.", no_args_is_help=True)


@export_app.command()
def lakes(
    file: Annotated[Path, typer.Argument(help="File to write: .gpkg, .parquet, .geojson or .csv.")],
    kind: Annotated[
        TableFormat | None, typer.Option("--format", help="Format; from the file's ending if not given.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", "-r", help="Only this region; all of the history if not given.")
    ] = None,
    season: Annotated[int | None, typer.Option("--season", "-s", help="Only this season.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every season, instead of the latest of each lake.")
    ] = False,
    force: ForceOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write lakes to a file; a GeoPackage holds latest, history and changes with styles for QGIS."""
    export_lakes_to(workspace, file, kind, region, season, history=history, force=force, json=json)


@export_app.command()
def masks(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; created if missing.")],
    season: Annotated[int, typer.Option("--season", "-s", help="Year of the late summer.")],
    kind: Annotated[
        RasterFormat, typer.Option("--format", help="Cloud-optimised GeoTIFF, or Zarr 3.")
    ] = RasterFormat.COG,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="Region of the settings; if not given, all that were run."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", help="mask, probability, uncertainty, reason …; can be repeated."),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Tag of the cube; the current survey's if not given.")
    ] = None,
    force: ForceOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write a season's pixels, one file per UTM zone and layer."""
    layers = layer or ["mask"]
    export_masks_to(workspace, folder, kind, region, season, layers, tag, force=force, json=json)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach any but a loopback address.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8080,
    workspace: WorkspaceOption = DEMO,
) -> None:
    """Serve lakes, history and changes: OGC API Features and vector tiles, read-only."""
    from monitor.workspace import Workspace

    try:
        from monitor.export.api import TITLE, listen, serve_lakes
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"`monitor serve` needs {error.name}: pip install 'lake-monitor[serve]'"
        ) from error
    opened = Workspace.open(workspace)
    with listen(host, port) as listening:
        if not listening.is_loopback:
            err.print(
                styled(
                    ("warning:", "bold yellow"),
                    f" {host} can be reached from other machines, and there is no authentication: everyone "
                    "who reaches it can read all lakes and the review queue. docs/serve.md shows how to put "
                    "it behind a proxy.",
                ),
                highlight=False,
            )
        serve_lakes(opened, listening, ready=lambda: say(f"{TITLE}: {listening.url} until Ctrl-C"))


def export_lakes_to(
    folder: Path,
    file: Path,
    asked: TableFormat | None,
    region: str | None,
    season: int | None,
    *,
    history: bool,
    force: bool,
    json: bool,
) -> None:
    """Write lakes to a file and print how many."""
    from monitor.export.lakes import LakesRequest, export_lakes
    from monitor.workspace import Workspace, open_database

    workspace = Workspace.open(folder)
    request = LakesRequest(file, table_format(file, asked), region, season, history, force)
    with open_database(workspace) as database:
        written = export_lakes(database, workspace, request, progress_of("export"))
    if json:
        print_json(asdict(written))
        return
    rows = ", ".join(f"{count} rows of {name}" for name, count in written.rows.items())
    out.print(f"{written.file}: {rows}; {_size(written.bytes)}", highlight=False, soft_wrap=True)
    out.print(f"{written.item}: its STAC item", highlight=False, soft_wrap=True)


def export_masks_to(
    folder: Path,
    target: Path,
    kind: RasterFormat,
    region: str | None,
    season: int,
    layers: list[str],
    tag: str | None,
    *,
    force: bool,
    json: bool,
) -> None:
    """Write a season's pixels and print where; without a region, of all that were run."""
    from monitor.export.masks import MasksRequest, export_masks
    from monitor.settings import season_or_this
    from monitor.workspace import Workspace, open_system

    workspace = Workspace.open(folder)
    names = workspace.region_names(region)
    season = season_or_this(season)
    request = MasksRequest(target, kind, season, tuple(dict.fromkeys(layers)), tag, force)
    written, refusals = [], []
    with open_system(workspace) as system:
        for name in names:
            try:
                written += export_masks(
                    system, workspace.region(name), request, progress_of(f"{name} {season}")
                )
            except RefusedError as error:
                if region is not None or len(names) == 1:
                    raise
                refusals.append(str(error))
    if not written:
        raise RefusedError(refusals[0])
    for why in refusals:
        err.print(f"  left out: {why}", highlight=False)
    if json:
        rows: list[dict[str, Any]] = [asdict(zone) for zone in written]
        print_json(rows)
        return
    for zone in written:
        size = f"{zone.shape[1]} x {zone.shape[0]} pixels, {zone.tiles} tiles, {_size(zone.bytes)}"
        out.print(f"EPSG:{zone.epsg}: {size}, from {zone.cube}", highlight=False, soft_wrap=True)
        for file in (*zone.files, zone.item):
            out.print(f"  {file}", highlight=False, soft_wrap=True)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
