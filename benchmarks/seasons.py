"""A season over a slow network: overlap of reading and prediction, and memory for regions of several sizes.

    python -m benchmarks.seasons [--json out.json]

The demo's archive is served by a STAC API, with files behind signed URLs and a network with latency. Times
are from one run on one machine; only their ratio is meaningful. The scenes are simulated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import shapely
import yaml
from rich.console import Console
from rich.table import Table

from monitor.cli.demo import REGION, prepare
from monitor.compute.cluster import Workers
from monitor.compute.segment import segment
from monitor.grid import tiles_of
from monitor.plan import TileTask
from monitor.run import plan_season
from monitor.settings import ClusterSettings
from monitor.stack.acquire import acquire
from monitor.workspace import System, Workspace, open_system
from segmenter.opening import open_segmenter
from segmenter.windows import halo
from storage.embedded import EmbeddedPostgis
from tests.support.servers.online import OnlineArchive, archive_online

# settings of OpenMP as in `monitor.compute.predictor`, before a model is opened
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

SEASON = 2022
TILE = 512
#: round trip of a request and bandwidth, as for an archive on another continent
LATENCY_S, BYTES_PER_SECOND = 0.1, 20e6
OVERLAP_BOUND, MEMORY_BOUND = 1.15, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare(options.workspace)
    archive = (options.workspace / "archive").resolve()
    result = {"overlap": overlap(archive), "memory": memory(archive)}
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def overlap(archive: Path, threads: int = ClusterSettings().threads) -> dict[str, float]:
    """Seconds of reading alone, of prediction alone and of both together, over a slow network."""
    with (
        _workspace(archive) as folder,
        _online(folder, archive) as online,
        open_system(Workspace.open(folder)) as system,
    ):
        tasks = _tasks(system)
        slow = {"latency_s": LATENCY_S, "bytes_per_second": BYTES_PER_SECOND}
        online.begin()
        segmenter = open_segmenter(system.workspace.model_folders)
        border = halo(segmenter.manifest)

        def read(task: TileTask) -> Any:
            return acquire(task.scenes, system.workspace.profile, task.tile, border)

        stacks = _side_by_side(read, tasks, threads)
        started = time.perf_counter()
        for task, stack in zip(tasks, stacks, strict=True):
            segment(stack, segmenter, task.tile, border, task.zone)
        predicting = time.perf_counter() - started
        del stacks
        online.begin(**slow)
        started = time.perf_counter()
        for _ in _reading(read, tasks, threads):
            pass
        reading = time.perf_counter() - started
        cube = system.cube(REGION)
        cube.prepare(tasks[0].tile.epsg, SEASON)
        online.begin(**slow)
        with Workers(ClusterSettings(threads=threads)) as workers:
            warm = list(
                workers.predict(tasks[:1], system.workspace.profile, system.workspace.model_folders, cube)
            )
            online.begin(**slow)
            started = time.perf_counter()
            done = list(
                workers.predict(tasks, system.workspace.profile, system.workspace.model_folders, cube)
            )
            both = time.perf_counter() - started
        assert all(result.slot is not None for result in (*warm, *done)), done
    return {"tiles": len(tasks), "reading_s": reading, "predicting_s": predicting, "season_s": both}


def _reading(read: Callable[[TileTask], Any], tasks: Sequence[TileTask], threads: int) -> Iterator[None]:
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(read, task) for task in tasks]:
            future.result()
            yield


def _side_by_side(read: Callable[[TileTask], Any], tasks: Sequence[TileTask], threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(read, tasks))


def memory(archive: Path) -> list[dict[str, float]]:
    """Peak memory of processes that run a season, for increasing numbers of tiles."""
    whole = Workspace.open(archive.parent).region(REGION).outline
    west, south, east, north = whole.bounds
    figures = []
    for share in (0.49, 0.74, 0.99):
        box = shapely.box(west, north - (north - south) * share, west + (east - west) * share, north)
        region = {"bounds": list(box.bounds)}
        with _workspace(archive, region) as folder:
            command = ["-c", _RUN, "run", "--season", str(SEASON), "-w", str(folder)]
            answer = subprocess.run(
                [sys.executable, *command], capture_output=True, text=True, check=True, env=os.environ
            )
            tiles = len(tiles_of(box, TILE))
            figures.append({"tiles": tiles, "peak_mib": int(answer.stdout.splitlines()[-1]) / 1024})
    return figures


# not getrusage: its value is kept across exec, so it would include this process
_RUN = """
from pathlib import Path
from monitor.cli.main import app
try:
    app(standalone_mode=False)
finally:
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def _tasks(system: System) -> list[TileTask]:
    region = system.workspace.region(REGION)
    return [entry.task for entry in plan_season(system, region, SEASON)]


@contextmanager
def _workspace(archive: Path, region: dict[str, Any] | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "catalog": {"profile": "planetary-computer", "location": str(archive)},
            "model": "terramind-tiny",
            "regions": {REGION: region or {"outline": str(archive / "region.geojson")}},
            "tile_size": TILE,
        }
        (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
        yield folder
        cluster = EmbeddedPostgis(folder / "postgis")
        if (cluster.folder / "users.lock").exists():
            cluster.wait_stopped()


@contextmanager
def _online(folder: Path, archive: Path) -> Iterator[OnlineArchive]:
    """Serve the archive, set this process's environment for it, and set it as the workspace's catalogue."""
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory() as place,
        EmbeddedPostgis(Path(place) / "postgis", durable=False) as url,
        archive_online(archive, url) as online,
    ):
        settings = yaml.safe_load((folder / "monitor.yaml").read_text())
        settings["catalog"] |= {"location": online.catalog_url, "hosts": online.file_hosts}
        (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
        os.environ.update(online.environment)
        try:
            yield online
        finally:
            os.environ.clear()
            os.environ.update(before)


def show(result: dict[str, Any]) -> None:
    console = Console()
    one = result["overlap"]
    ratio = one["season_s"] / max(one["reading_s"], one["predicting_s"])
    table = Table(
        title=f"Overlap of reading and prediction, {one['tiles']:.0f} tiles of {TILE} px",
        title_justify="left",
    )
    for column in ("reading alone", "prediction alone", "season", "season / larger", "bound"):
        table.add_column(column, justify="right")
    seconds = (f"{one[key]:.1f} s" for key in ("reading_s", "predicting_s", "season_s"))
    table.add_row(*seconds, f"{ratio:.2f}", f"{OVERLAP_BOUND}")
    console.print(table)
    table = Table(title="Peak memory of a run", title_justify="left")
    for column in ("tiles", "MiB", "relative to the smallest", "bound"):
        table.add_column(column, justify="right")
    least = result["memory"][0]["peak_mib"]
    for row in result["memory"]:
        share = row["peak_mib"] / least
        table.add_row(f"{row['tiles']:.0f}", f"{row['peak_mib']:.0f}", f"{share:.2f}", f"{MEMORY_BOUND}")
    console.print(table)
    console.print(
        f"Network: {LATENCY_S * 1000:.0f} ms per request, {BYTES_PER_SECOND / 1e6:.0f} MB/s. Simulated "
        "scenes."
    )


if __name__ == "__main__":
    main()
