"""Requests and bytes of reading over HTTP, compared with the minimum.

    python -m benchmarks.archives [--workspace workspace/demo] [--json out.json]

The demo's archive is served by a STAC API, with files behind signed URLs; requests are counted at the server
of the files. The minimum for a file is one request for its header, and one request per run of adjacent wanted
blocks. `benchmarks.seasons` measures the overlap of reading and prediction, and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import rasterio
import yaml
from rich.console import Console
from rich.table import Table

from monitor.cli.demo import REGION, prepare
from monitor.run import plan_season
from monitor.stack.acquire import acquire
from monitor.workspace import Workspace, open_system
from segmenter.windows import halo
from storage.embedded import EmbeddedPostgis
from tests.support.servers.files import Read
from tests.support.servers.online import OnlineArchive, archive_online

SEASON = 2022
BOUND = 1.15
#: greatest number of bytes between adjacent blocks of a COG: its size is stored before and after each block
ADJACENT = 16


@dataclass(frozen=True)
class Cost:
    """Requests and bytes of one step, and their minimum."""

    step: str
    files: int
    requests: int
    least_requests: int
    bytes: int
    least_bytes: int
    tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    prepare(options.workspace)
    costs = measure((options.workspace / "archive").resolve())
    show(costs)
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2))


def measure(archive: Path) -> list[Cost]:
    """Cost of choosing the scenes of a season, and of reading each tile."""
    with _online(archive) as (folder, online), open_system(Workspace.open(folder)) as system:
        online.begin()
        tasks = [entry.task for entry in plan_season(system, system.workspace.region(REGION), SEASON)]
        costs = [_cost("choosing scenes", online, archive)]
        border = halo(system.workspace.manifest)
        for task in tasks:
            online.begin()
            acquire(task.scenes, system.workspace.profile, task.tile, border)
            costs.append(_cost(task.tile.name, online, archive))
    return costs


@contextmanager
def _online(archive: Path) -> Iterator[tuple[Path, OnlineArchive]]:
    """Serve the archive, set this process's environment for it, and make a workspace that uses it."""
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedPostgis(Path(name) / "postgis", durable=False) as url,
        archive_online(archive, url) as online,
    ):
        settings = {
            "catalog": {
                "profile": "planetary-computer",
                "location": online.catalog_url,
                "hosts": online.file_hosts,
            },
            "model": "terramind-tiny",
            "regions": {REGION: {"outline": str(archive / "region.geojson")}},
            "tile_size": 1024,
        }
        folder = Path(name) / "workspace"
        folder.mkdir()
        (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
        os.environ.update(online.environment)
        try:
            yield folder, online
        finally:
            os.environ.clear()
            os.environ.update(before)


def _cost(step: str, online: OnlineArchive, archive: Path) -> Cost:
    traffic = online.traffic()
    by_file: dict[str, list[Read]] = {}
    for read in traffic.reads:
        by_file.setdefault(read.path.split("/", maxsplit=2)[2], []).append(read)
    least = [_least(archive / path, reads) for path, reads in by_file.items()]
    return Cost(
        step,
        files=len(by_file),
        requests=len(traffic.reads),
        least_requests=sum(requests for requests, _ in least),
        bytes=sum(read.size for read in traffic.reads),
        least_bytes=sum(size for _, size in least),
        tokens=traffic.token_requests,
    )


def _least(path: Path, reads: Iterable[Read]) -> tuple[int, int]:
    """Least number of requests and bytes for the header of a file and the blocks that were read from it."""
    spans = [
        tuple(map(int, found)) for read in reads for found in re.findall(r"(\d+)-(\d+)", read.range or "")
    ]
    blocks = _blocks(path)
    # the first request is for the header, even if it also returns blocks
    wanted = [
        (start, stop)
        for start, stop in blocks
        if any(first <= start and stop <= last + 1 for first, last in spans if first > 0)
    ]
    runs = 0
    end = -ADJACENT - 1
    for start, stop in wanted:
        runs += start - end > ADJACENT
        end = stop
    header = blocks[0][0]
    return 1 + runs, header + sum(stop - start for start, stop in wanted)


@cache
def _blocks(path: Path) -> list[tuple[int, int]]:
    """Start and stop byte of every block of a TIFF and its overviews, sorted."""
    places = []
    with rasterio.open(path) as file:
        levels = [None, *range(len(file.overviews(1)))]
    for level in levels:
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(path, **options) as part:
            (height, width), *_ = part.block_shapes
            names = [
                f"{x}_{y}" for y in range(-(-part.height // height)) for x in range(-(-part.width // width))
            ]
        with rasterio.open(path) as file:
            for name in names:
                start, size = (
                    int(file.get_tag_item(f"BLOCK_{what}_{name}", "TIFF", bidx=1, ovr=level) or 0)
                    for what in ("OFFSET", "SIZE")
                )
                if size:
                    places.append((start, start + size))
    return sorted(places)


def show(costs: list[Cost]) -> None:
    console = Console()
    table = Table(title=f"Reading over HTTP, bound {BOUND}", title_justify="left")
    table.add_column(no_wrap=True)
    for column in ("requests", "least", "ratio", "MB", "least", "ratio"):
        table.add_column(column, justify="right")
    tiles = costs[1:]
    total = Cost("all tiles", *(sum(getattr(cost, name) for cost in tiles) for name in _COUNTS))
    for cost in (*costs, total):
        table.add_row(
            cost.step,
            str(cost.requests),
            str(cost.least_requests),
            f"{cost.requests / cost.least_requests:.2f}",
            f"{cost.bytes / 1e6:.1f}",
            f"{cost.least_bytes / 1e6:.1f}",
            f"{cost.bytes / cost.least_bytes:.2f}",
        )
    console.print(table)
    console.print(f"Requested tokens: {sum(cost.tokens for cost in costs)}. Simulated scenes.")


_COUNTS = ("files", "requests", "least_requests", "bytes", "least_bytes", "tokens")


if __name__ == "__main__":
    main()
