"""`monitor export lakes`: views of the lake history as a vector file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pystac
import shapely
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.table import Column, TableExtension

from monitor.errors import RefusedError, unknown
from monitor.export.columns import COLUMNS
from monitor.export.formats import TableFormat, part_of, refuse_existing
from monitor.export.items import ItemContent, add_file, new_item, size_of, write_item
from monitor.export.styles import style_of
from monitor.export.tables import Layer, Tally, write_tables
from monitor.history.regions import season_of
from monitor.progress import SILENT, Progress
from monitor.workspace import Workspace
from storage import exports
from storage.codes import SurveyKind
from storage.exports import GEOMETRY, Scope, View

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from storage.database import Database

_TITLES = {
    View.LATEST: "Latest observation of every lake",
    View.HISTORY: "Every lake in every season",
    View.CHANGES: "Change of every lake since its last observation before",
}
MEDIA_TYPES = {
    TableFormat.GPKG: "application/geopackage+sqlite3",
    TableFormat.GEOPARQUET: "application/vnd.apache.parquet",
    TableFormat.GEOJSON: "application/geo+json",
    TableFormat.CSV: "text/csv",
}


@dataclass(frozen=True)
class LakesRequest:
    """The lakes to export, and the file and its format."""

    file: Path
    format: TableFormat
    region: str | None = None
    """None: all regions."""
    season: int | None = None
    history: bool = False
    """All seasons instead of the latest one of each lake; a GeoPackage always holds both."""
    force: bool = False


@dataclass(frozen=True)
class LakesWritten:
    """The files written."""

    file: Path
    item: Path
    format: TableFormat
    rows: dict[str, int]
    """Number of rows by layer."""
    bytes: int


def export_lakes(
    database: Database, workspace: Workspace, request: LakesRequest, progress: Progress = SILENT
) -> LakesWritten:
    """Write the current history to the file, and a STAC item to `<file>.json`; on failure neither is left.

    Raises:
        RefusedError: the file exists or its name cannot be used, its folder does not exist, or the region or
            season has no survey.
        MonitorError, StorageError: the file cannot be written, or the history cannot be read.
    """
    file, item_file = request.file, request.file.with_name(f"{request.file.name}.json")
    if request.history and request.season is not None:
        raise RefusedError("--history exports all seasons and --season only one; give one of the two options")
    refuse_existing([file, item_file], force=request.force)
    if not file.parent.is_dir():
        raise RefusedError(f"{file}: there is no folder {file.parent}; create it first")
    with exports.snapshot(database) as conn:
        surveys = _surveys(conn, request)
        layers = _layers(conn, request)
        with part_of(file) as part:
            with progress.stage(f"writing {file.name}"):
                tallies = write_tables(part, request.format, layers)
            # before the file takes its place: if the item cannot be written, neither is left
            write_item(_item(conn, workspace, request, surveys, tallies, part), item_file)
    rows = {name: tally.rows for name, tally in tallies.items()}
    return LakesWritten(file, item_file, request.format, rows, size_of(file))


def _surveys(conn: Connection, request: LakesRequest) -> pd.DataFrame:
    """The surveys of the exported rows."""
    every = exports.surveyed(conn)
    if every.empty:
        raise RefusedError("nothing has been surveyed yet; start with `monitor run --season YEAR`")
    found = every
    if request.region is not None:
        found = every[every.region == request.region]
        if found.empty:
            raise unknown("surveyed region", request.region, every.region)
    if request.season is not None:
        seasons = sorted(set(found.season))
        found = found[found.season == request.season]
        if found.empty:
            known = ", ".join(str(season) for season in seasons)
            raise RefusedError(f"--season {request.season}: it has no survey; the lake history has {known}")
    return found


def _layers(conn: Connection, request: LakesRequest) -> list[Layer]:
    """All views for a GeoPackage, else the requested one."""
    scope = Scope(request.region, request.season)
    one = View.LATEST if request.season is None and not request.history else View.HISTORY
    return [
        Layer(view.value, _TITLES[view], partial(exports.stream, conn, view, scope), style_of(view))
        for view in (View if request.format is TableFormat.GPKG else [one])
    ]


def _item(
    conn: Connection,
    workspace: Workspace,
    request: LakesRequest,
    surveys: pd.DataFrame,
    tallies: dict[str, Tally],
    content: Path,
) -> pystac.Item:
    bounds = [tally.bounds for tally in tallies.values() if tally.bounds is not None]
    first, last = _days(conn, workspace, surveys)
    sources: list[exports.SourceItem] = []
    if request.season is not None:  # an export of all seasons would list too many scenes
        for kind in (SurveyKind.MODEL, SurveyKind.INDEX):
            if (surveys.kind == kind).any():
                sources += exports.source_items(conn, request.region, request.season, kind)
    place = shapely.box(*shapely.total_bounds([shapely.box(*box) for box in bounds])) if bounds else None
    about = ItemContent(
        id=request.file.name,
        title=f"Glacial lakes: {', '.join(sorted(set(surveys.region)))}",
        first=first,
        last=last,
        place=place,
        properties={
            "lake_monitor:rows": {name: tally.rows for name, tally in tallies.items()},
            "lake_monitor:surveys": [
                {
                    "id": str(s.id),
                    "region": s.region,
                    "season": int(str(s.season)),
                    "kind": s.kind,
                    "source": s.source,
                }
                for s in surveys.itertuples()
            ],
        },
        sources=sources,
    )
    item = new_item(about)
    ProjectionExtension.ext(item, add_if_missing=True).apply(code="EPSG:4326")
    title = "; ".join(f"{name}: {_TITLES[View(name)]}" for name in tallies)
    asset = add_file(item, "lakes", request.file, MEDIA_TYPES[request.format], title, ["data"], content)
    main = next(iter(tallies.values()))
    table = TableExtension.ext(asset, add_if_missing=True)
    table.columns = [_column(field) for field in main.columns]
    table.primary_geometry = "geom" if request.format is TableFormat.GPKG else GEOMETRY
    table.row_count = main.rows
    return item


def _column(field: pa.Field) -> Column:
    described: dict[str, Any] = {"name": field.name, "type": str(field.type)}
    if field.name in COLUMNS:
        described["description"] = COLUMNS[field.name]
    return Column(described)


def _days(conn: Connection, workspace: Workspace, surveys: pd.DataFrame) -> tuple[date, date]:
    """First and last day of the surveys' seasons, by the windows of their regions."""
    windows = {region: season_of(conn, workspace, region) for region in set(surveys.region)}
    seasons = sorted(int(str(season)) for season in surveys.season)
    return (
        min(window.dates(seasons[0])[0] for window in windows.values()),
        max(window.reserve(seasons[-1]) for window in windows.values()),
    )
