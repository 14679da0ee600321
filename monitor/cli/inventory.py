"""`monitor inventory`: published inventories in the lake history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.console import err, out, print_json, progress_of, styled, table
from monitor.cli.options import DEMO, JsonOption, RegionOption, WorkspaceOption
from monitor.errors import RefusedError

if TYPE_CHECKING:
    from monitor.history.inventories.importing import Imported

#: repairs and losses that are printed one by one
SHOWN = 10

inventory_app = typer.Typer(help="Published inventories in the lake history.", no_args_is_help=True)


@inventory_app.command("import")
def import_inventory(
    file: Annotated[
        Path, typer.Argument(help="Shapefile, GeoPackage, GeoJSON, GeoParquet, any vector file; any CRS.")
    ],
    year: Annotated[
        int | None,
        typer.Option("--year", help="Season of the outlines; if not given, every year of the year column."),
    ] = None,
    region: RegionOption = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping", help="Mapping of the columns: a name of config/inventories, or a YAML file."
        ),
    ] = None,
    year_column: Annotated[
        str | None, typer.Option(help="Column with the year, for a file with several years.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Name of the inventory; the file's name if not given.")
    ] = None,
    complete: Annotated[
        bool | None,
        typer.Option(
            "--complete/--partial",
            help="The inventory is complete: a known lake that it does not contain was dry.",
        ),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(help="Area that it covers, if less than the region: west,south,east,north in degrees."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to import, if the file has several.")] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Encoding of the texts, if the file does not declare it: GBK, cp1252 ..."),
    ] = None,
    workspace: WorkspaceOption = DEMO,
    json: JsonOption = False,
) -> None:
    """Import an inventory as seasons of the lake history; a second import changes nothing."""
    overrides = {
        "year": year_column,
        "source": source,
        "complete": complete,
        "bounds": bounds,
        "layer": layer,
        "encoding": encoding,
    }
    import_file(workspace, file, year, region, mapping, overrides, json=json)


@inventory_app.command("list")
def list_inventories(
    region: RegionOption = None, workspace: WorkspaceOption = DEMO, json: JsonOption = False
) -> None:
    """List the imported inventories, season by season."""
    from monitor.history.regions import check_region
    from monitor.workspace import Workspace, open_database
    from storage.copying import records
    from storage.inventories import standing

    opened = Workspace.open(workspace)
    with open_database(opened) as database, database.connect() as conn:
        check_region(conn, opened, region)
        rows = records(standing(conn, region))
    if json:
        print_json(rows)
        return
    if not rows:
        out.print("No inventory has been imported; start with `monitor inventory import FILE --year YEAR`.")
        return
    table(
        "Inventories",
        "region|season|source|>lakes|complete|>pixel m|file",
        [
            [
                r["region"],
                str(r["season"]) + (" (suspect)" if r["suspect"] else ""),
                r["source"],
                str(r["lakes"]),
                "yes" if r["complete"] else "no",
                f"{r['pixel_m']:g}",
                r["file"],
            ]
            for r in rows
        ],
    )


def import_file(
    folder: Path,
    file: Path,
    year: int | None,
    region: str | None,
    mapping_name: str | None,
    overrides: dict[str, Any],
    *,
    json: bool = False,
) -> None:
    """Import one season of an inventory, or all, and print what changed."""
    from monitor.entries.seasons import check_inventory_year
    from monitor.history.inventories.mapping import read_mapping
    from monitor.history.inventories.outlines import read_inventory, years_of
    from monitor.operations.imports import import_seasons
    from monitor.workspace import Workspace, open_system

    if year is not None:
        check_inventory_year(year)
    workspace = Workspace.open(folder)
    names = workspace.region_names(region)
    if len(names) != 1:
        raise RefusedError(f"--region: an inventory belongs to one region; choose from {', '.join(names)}")
    mapping = read_mapping(mapping_name, overrides)
    with err.status(styled(f"reading {file.name}")):
        polygons = read_inventory(file, mapping)
    years = [year] if year is not None else years_of(polygons, mapping)
    if not years:
        raise RefusedError(
            f"--year: give the season of {file.name}; for a file with several, --year-column or --mapping"
        )
    place = workspace.region(names[0])
    with open_system(workspace) as system:
        results = import_seasons(system, file, place, years, mapping, polygons, progress_of(file.name))
    if json:
        print_json([result.as_json() for result in results])
        return
    for result in results:
        _print_import(file, result)


def _print_import(file: Path, result: Imported) -> None:
    from monitor.history.inventories.outlines import DUPLICATE
    from monitor.operations.runs import stale_words

    name = file.name
    if not result.lakes:
        out.print(f"{name}, {result.season}: no lake in the region, nothing imported")
    elif not result.changed:
        out.print(f"{name}, {result.season}: already imported, nothing changed ({result.lakes} lakes)")
    else:
        out.print(
            f"{name}, {result.season}: {result.lakes} lakes, {result.minted} of them new to the history; "
            f"{result.repaired} geometries repaired, {result.duplicates} exact duplicates left out"
        )
    others = {why: number for why, number in result.left_out.items() if why != DUPLICATE}
    if others:
        listed = ", ".join(f"{why} ({number})" for why, number in others.items())
        out.print(f"  of {result.rows} rows, {sum(others.values())} are left out: {listed}", highlight=False)
    _list([str(loss) for loss in result.lost], "left out")
    _list([str(loss) for loss in result.values_lost], "value not used")
    for note in result.notes:
        err.print(f"  note: {note}", highlight=False)
    if not result.changed:
        return
    repairs = [f"row {one.row}{f' ({one.label})' if one.label else ''}: {one.what}" for one in result.repairs]
    _list(repairs, "repaired")
    if result.suspect:
        suspect = (f"{result.season} is suspect", "bold red")
        err.print(styled("  ", suspect, f": {result.suspect}. Its losses are not flagged."))
    if result.replayed:
        seasons = ", ".join(f"{region} {season}" for region, season in result.replayed)
        out.print(f"  replayed, because this season precedes them: {seasons}", highlight=False)
    for line in stale_words(result.stale):
        err.print(f"  {line}", highlight=False)


def _list(lines: list[str], what: str) -> None:
    for line in lines[:SHOWN]:
        err.print(f"  {what}: {line}", highlight=False)
    if len(lines) > SHOWN:
        err.print(f"  ... and {len(lines) - SHOWN} more; --json lists them all")
