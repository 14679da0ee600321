"""Bytes that drafting the survey of a season reads from the cube, and its time.

    python -m benchmarks.surveys [--workspace workspace/demo] [--json out.json]

Each season of the demo is drafted again from its layers and its prior surveys, without recording the result.
Counted are the uncompressed bytes of all arrays that are read, per pixel of the region's tiles. For
comparison, the cube has 15 bytes per pixel and season.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from rich.console import Console
from rich.table import Table

from monitor.cli.demo import REGION, prepare
from monitor.compute.season_layers import CubeTiles
from monitor.grid import tile_named
from monitor.history.season import draft_season
from monitor.workspace import System, Workspace, open_system
from storage.cube import LAYERS
from storage.history import current_survey, seasons_before, survey_keys
from storage.prior import SurveyKey, prior_surveys

#: greatest number of bytes per pixel
BOUND = 22.0


@dataclass(frozen=True)
class Cost:
    """Cost of drafting one season."""

    season: int
    tiles: int
    lakes: int
    bytes_per_pixel: float
    #: greatest number of reads of one part of a layer
    readings: int
    wall_s: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare(options.workspace)
    with open_system(Workspace.open(options.workspace)) as system:
        measure(system)  # warm-up: opens the cube and compiles
        costs = measure(system)
    table = Table(title=f"Drafting the survey of a season, at most {BOUND:g} bytes per pixel")
    for column in ("season", "tiles", "lakes", "bytes per pixel", "reads", "wall s"):
        table.add_column(column, justify="right")
    for cost in costs:
        table.add_row(
            str(cost.season),
            str(cost.tiles),
            str(cost.lakes),
            f"{cost.bytes_per_pixel:.1f}",
            str(cost.readings),
            f"{cost.wall_s:.2f}",
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2))


def measure(system: System) -> list[Cost]:
    """Cost of drafting each season of the demo's region."""
    kind = system.workspace.survey_kind
    with system.database.connect() as conn:
        keys = [key for key in survey_keys(conn) if (key.region, key.kind) == (REGION, kind)]
    return [_cost(system, key) for key in keys]


def _cost(system: System, key: SurveyKey) -> Cost:
    region, manifest = system.workspace.region(REGION), system.workspace.manifest
    with system.database.connect() as conn:
        survey = current_survey(conn, key)
        assert survey is not None
        before = seasons_before(conn, key)
        prior = prior_surveys(conn, key)
        tiles = [tile_named(name) for name in sorted(survey.drawn_from)]
        with counted() as read:
            start = time.perf_counter()
            view = system.cube(REGION).view()
            previous = [CubeTiles.of(view, season, tiles) for season in before]
            draft = draft_season(
                CubeTiles.of(view, key.season, tiles),
                region,
                key.season,
                prior,
                previous,
                smallest_m2=manifest.smallest_lake_m2,
                sets=manifest.sets,
            )
            wall = time.perf_counter() - start
    return Cost(
        season=key.season,
        tiles=len(tiles),
        lakes=len(draft.observations),
        bytes_per_pixel=sum(size for _, size in read) / sum(tile.size**2 for tile in tiles),
        readings=max(sum(each == what for each, _ in read) for what, _ in read),
        wall_s=wall,
    )


@contextmanager
def counted() -> Iterator[list[tuple[tuple[str, str], int]]]:
    """Record all reads of layers within the context: layer and selection, and bytes."""
    read: list[tuple[tuple[str, str], int]] = []
    lock, get = threading.Lock(), zarr.Array.__getitem__

    def counting(array: zarr.Array[Any], selection: Any) -> Any:
        values = get(array, selection)
        if array.basename in LAYERS:
            with lock:
                read.append(((array.path, str(selection)), np.asarray(values).nbytes))
        return values

    zarr.Array.__getitem__ = counting  # type: ignore[method-assign,assignment]
    try:
        yield read
    finally:
        zarr.Array.__getitem__ = get  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
