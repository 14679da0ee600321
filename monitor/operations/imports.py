"""Imports of inventories: record each season, then replay the surveys that became stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import geopandas

from monitor.history.inventories.importing import Imported, record_inventory
from monitor.history.inventories.mapping import Mapping
from monitor.history.regions import refuse_other_name
from monitor.progress import SILENT, Progress
from monitor.run import replay_stale
from monitor.settings import Region
from monitor.workspace import System


def import_seasons(
    system: System,
    path: Path,
    region: Region,
    seasons: Sequence[int],
    mapping: Mapping,
    polygons: geopandas.GeoDataFrame | None = None,
    progress: Progress = SILENT,
) -> list[Imported]:
    """Import seasons of an inventory, then replay the surveys that became stale.

    Args:
        polygons: result of `read_inventory`, if the file has been read already.

    Returns:
        one result per season; the last one names the replayed surveys of all regions.

    Raises:
        RefusedError: no polygons, no CRS, a missing column or season, or the region has another name in the
            history.
    """
    with system.database.connect() as conn:
        refuse_other_name(conn, system.workspace, region.name, region.outline)
    results = []
    with progress.count("seasons", len(seasons)) as done:
        for season in seasons:
            results.append(
                record_inventory(
                    system.database, path, region=region, season=season, mapping=mapping, polygons=polygons
                )
            )
            done()
    with progress.stage("replaying later seasons"):
        replayed = replay_stale(system)
    results[-1] = replace(results[-1], replayed=replayed.changed, stale=replayed.stale)
    return results
