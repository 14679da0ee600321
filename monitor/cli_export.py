"""`monitor export`: its commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.export.formats import RasterFormat, TableFormat

export_app = typer.Typer(help="Lakes and masks as files for other programs.", no_args_is_help=True)
DEMO = Path("workspace/demo")
WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="MONITOR_WORKSPACE", help="Folder with monitor.yaml."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@export_app.command("lakes")
def export_lakes(
    file: Annotated[Path, typer.Argument(help="File to write: .gpkg, .parquet, .geojson or .csv.")],
    kind: Annotated[
        TableFormat | None, typer.Option("--format", help="Format; by the file's ending without it.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", "-r", help="Only this region; all of the history without it.")
    ] = None,
    season: Annotated[
        int | None, typer.Option("--season", "-s", help="What was seen in this season.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every season; without it the latest of every lake.")
    ] = False,
    force: ForceOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write lakes to a file; a GeoPackage holds latest, history and changes with styles for QGIS."""
    from monitor.export.commands import export_lakes_to

    export_lakes_to(workspace, file, kind, region, season, history=history, force=force, json=json)


@export_app.command("masks")
def export_masks(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if missing.")],
    season: Annotated[int, typer.Option("--season", "-s", help="Year of the late summer.")],
    kind: Annotated[
        RasterFormat, typer.Option("--format", help="Cloud-optimised GeoTIFF, or Zarr 3.")
    ] = RasterFormat.COG,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="Region of the settings; all that were run without it."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", help="mask, probability, uncertainty, reason …; may be given again."),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Tag of the cube; the current survey's without it.")
    ] = None,
    force: ForceOption = False,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Write a season's pixels, a file for every UTM zone and layer."""
    from monitor.export.commands import export_masks_to

    layers = layer or ["mask"]
    export_masks_to(workspace, folder, kind, region, season, layers, tag, force=force, json=json)
