"""Imports of inventories: record each season, then replay the surveys that became stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monitor.errors import RefusedError
from monitor.history.inventories.importing import Imported, record_inventory
from monitor.history.inventories.mapping import Mapping
from monitor.history.inventories.outlines import prepare, read_inventory
from monitor.history.regions import refuse_other_name
from monitor.history.replay import replay_stale
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.vectors.polygons import Polygons
from monitor.workspace import System


def import_seasons(
    system: System,
    path: Path,
    region: Region,
    seasons: Sequence[int],
    mapping: Mapping,
    polygons: Polygons | None = None,
    progress: Progress = SILENT,
) -> list[Imported]:
    """Import seasons of an inventory, then replay the surveys that became stale.

    All seasons are read and checked before the first is recorded.

    Args:
        polygons: result of `read_inventory`, if the file has been read already.

    Returns:
        one result per season; the last one names the replayed surveys of all regions.

    Raises:
        RefusedError: the file or the mapping cannot be used (see `read_inventory` and `prepare`), no outline
            lies in the region, or the region has another name in the history.
    """
    with system.database.connect() as conn:
        refuse_other_name(conn, system.workspace, region.name, region.outline)
    polygons = read_inventory(path, mapping) if polygons is None else polygons
    prepared = [prepare(polygons, season, mapping, region) for season in seasons]
    if all(lakes.lakes.empty for lakes in prepared):
        raise RefusedError(f"{path}: no lake to import: {'; '.join(prepared[0].notes)}")
    results = []
    with progress.count("seasons", len(seasons)) as done:
        for season, lakes in zip(seasons, prepared, strict=True):
            results.append(
                record_inventory(system.database, path, lakes, region=region, season=season, mapping=mapping)
            )
            done()
    with progress.stage("replaying later seasons"):
        replayed = replay_stale(system)
    results[-1] = replace(results[-1], replayed=replayed.changed, stale=replayed.stale)
    return results
