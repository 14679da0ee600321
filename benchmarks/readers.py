"""Tiles that one machine reads and prepares in a second, and the readers that a GPU needs.

    python -m benchmarks.readers [--workspace workspace/demo] [--processes 1,2] [--json out.json]

The stacks of all tiles of the demo are made from local files, as a run makes them, without prediction. A
network is not in the way, so the figures are the upper limit for archives in a network.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from monitor.archive.profiles import CatalogProfile
from monitor.cli.demo import REGION, YEARS, prepare
from monitor.plan import TileTask
from monitor.run import plan_season
from monitor.stack.acquire import acquire
from monitor.workspace import Workspace, open_system
from segmenter.windows import halo

#: tiles of 1024 px that one GPU predicts in a second: one H200, 4 flips (docs/measurements.md, 2026-11-27)
GPU_TILES = {"TerraMind-L": 4.8, "terramind-tiny": 21.0}


@dataclass(frozen=True)
class Reading:
    """Reading of all tiles by some processes."""

    processes: int
    tiles: int
    #: edge of the stacks, px, and mean number of optical and radar scenes of a tile
    pixels: int
    scenes: float
    #: seconds of all cores for a tile, and tiles in a second
    core_s: float
    tiles_per_s: float

    def cores_for(self, tiles_per_s: float) -> float:
        """Cores that read so many tiles in a second."""
        return self.core_s * tiles_per_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--processes", default=f"1,{os.cpu_count()}", help="numbers of processes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare(options.workspace)
    numbers = sorted({int(number) for number in options.processes.split(",")})
    readings = [measure(options.workspace, number) for number in numbers]
    Console().print(table_of(readings))
    if options.json:
        options.json.write_text(json.dumps([asdict(reading) for reading in readings], indent=2))


def measure(folder: Path, processes: int) -> Reading:
    """Read every tile of every season of the demo once with `processes` processes, after one tile each."""
    workspace = Workspace.open(folder)
    border = halo(workspace.manifest)
    with open_system(workspace) as system:
        tasks = [
            planned.task
            for season in YEARS
            for planned in plan_season(system, workspace.region(REGION), season)
            if not planned.task.impossible
        ]
    read = partial(read_tile, profile=workspace.profile, border=border)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(read, tasks[:processes]))  # imports
        start = time.perf_counter()
        spent = list(pool.map(read, tasks))
        wall = time.perf_counter() - start
    return Reading(
        processes=processes,
        tiles=len(tasks),
        pixels=tasks[0].tile.size + 2 * border,
        scenes=sum(len(task.scenes.optical) + len(task.scenes.radar) for task in tasks) / len(tasks),
        core_s=sum(spent) / len(spent),
        tiles_per_s=len(tasks) / wall,
    )


def read_tile(task: TileTask, profile: CatalogProfile, border: int) -> float:
    """Make the stack of a tile; seconds of processor time of all threads."""
    start = time.process_time()
    acquire(task.scenes, profile, task.tile, border)
    return time.process_time() - start


def table_of(readings: Sequence[Reading]) -> Table:
    """The readings, with the cores that a GPU needs."""
    first = readings[0]
    table = Table(
        title=f"Reading {first.tiles} tiles of {first.pixels} px with {first.scenes:.1f} scenes, local files"
    )
    for column in ("processes", "core s a tile", "tiles a s", *(f"cores for {name}" for name in GPU_TILES)):
        table.add_column(column, justify="right")
    for reading in readings:
        needed = [f"{reading.cores_for(rate):.0f}" for rate in GPU_TILES.values()]
        row = (str(reading.processes), f"{reading.core_s:.2f}", f"{reading.tiles_per_s:.2f}", *needed)
        table.add_row(*row)
    return table


if __name__ == "__main__":
    main()
