"""The commands of `monitor export`: open the workspace, write, say what was written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.commands import region_names
from monitor.console import ProgressWatch, err, out, print_json
from monitor.errors import RefusedError
from monitor.export.formats import RasterFormat, TableFormat, table_format
from monitor.settings import Workspace
from monitor.system import open_database, open_system


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
    """Write lakes to a file and say how many."""
    from monitor.export.lakes import LakesWanted, export_lakes

    workspace = Workspace.open(folder)
    wanted = LakesWanted(file, table_format(file, asked), region, season, history, force)
    with open_database(workspace) as database:
        written = export_lakes(database, workspace, wanted, ProgressWatch("export"))
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
    """Write a season's pixels and say where; without a region, of all that were run."""
    from monitor.export.masks import MasksWanted, export_masks

    workspace = Workspace.open(folder)
    names = region_names(workspace, region)
    wanted = MasksWanted(target, kind, season, tuple(dict.fromkeys(layers)), tag, force)
    written, refusals = [], []
    with open_system(workspace) as system:
        for name in names:
            watch = ProgressWatch(f"{name} {season}")
            try:
                written += export_masks(system, workspace.region(name), wanted, watch)
            except RefusedError as error:
                if region is not None or len(names) == 1:
                    raise
                refusals.append(str(error))
    if not written:
        raise RefusedError(refusals[0])
    for why in refusals:
        err.print(f"  left out: {why}", highlight=False, markup=False)
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
