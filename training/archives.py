"""Simulated archives, one per seed, each written by the simulator in a separate process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform_bounds
from rich.progress import track

from monitor.grid import PIXEL, zone_at
from training.errors import TrainingError

#: distance of a square from the edges of a raster of relief, m
MARGIN = 1000
#: corners of squares are multiples of it, m
GRAIN = 160


def archive_of(folder: Path, seed: int, relief: Path | None = None) -> Path:
    """Folder of the archive of `seed` below `folder`, on simulated relief or that of the raster `relief`."""
    return folder / (f"seed-{seed}" if relief is None else f"{relief.stem}-{seed}")


def make_archives(
    folder: Path,
    seeds: Sequence[int],
    *,
    size: int,
    seasons: str,
    processes: int,
    relief: Sequence[Path] = (),
) -> list[Path]:
    """Make the archives of `seeds` below `folder`; existing ones are kept.

    Args:
        size: edge of an archive's square, px of 10 m.
        seasons: years in the simulator's notation, such as "2021-2023".
        processes: number of simulators that run in parallel.
        relief: rasters of real elevations in place of simulated relief; the seeds take them in turn, each at
            a place of its own (`place_of`).

    Raises:
        TrainingError: the simulator failed; the end of its error output is in the message.
    """
    rasters = islice(cycle(relief or [None]), len(seeds))
    with ThreadPoolExecutor(processes) as pool:
        futures = [
            pool.submit(_make, archive_of(folder, seed, raster), seed, size, seasons, raster)
            for seed, raster in zip(seeds, rasters, strict=True)
        ]
        return [future.result() for future in track(futures, description="simulating archives")]


def place_of(relief: Path, seed: int, size: int) -> tuple[int, int]:
    """Upper-left corner, in metres of the raster's UTM zone, of a square at a random place of the raster.

    The square of `size` pixels keeps a kilometre from the edges, which are oblique in UTM; in a raster
    that is too small for that, it is in the middle.

    Raises:
        TrainingError: the raster cannot be read, or has no coordinate system.
    """
    try:
        with rasterio.open(relief) as file:
            if file.crs is None:
                raise TrainingError(f"{relief}: has no coordinate system; assign one (gdal_edit -a_srs)")
            west, south, east, north = transform_bounds(file.crs, 4326, *file.bounds)
            zone = zone_at((west + east) / 2, (south + north) / 2)
            left, bottom, right, top = transform_bounds(file.crs, zone, *file.bounds)
    except rasterio.errors.RasterioIOError as error:
        raise TrainingError(f"{relief}: cannot be read as a raster of elevations ({error})") from error
    half = size * PIXEL / 2
    across, along = np.random.default_rng(seed).uniform(-1, 1, 2)
    x = (left + right) / 2 + across * max(0.0, (right - left) / 2 - half - MARGIN) - half
    y = (bottom + top) / 2 + along * max(0.0, (top - bottom) / 2 - half - MARGIN) + half
    return round(x / GRAIN) * GRAIN, round(y / GRAIN) * GRAIN


def _make(target: Path, seed: int, size: int, seasons: str, relief: Path | None) -> Path:
    if (target / "catalog.json").is_file():
        return target
    unfinished = target.with_name(f"unfinished-{target.name}")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "simulator", str(unfinished)]
    command += ["--seed", str(seed), "--size", str(size), "--seasons", seasons]
    if relief is not None:
        east, north = place_of(relief, seed, size)
        command += ["--dem", str(relief), "--origin", f"{east},{north}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        output = ran.stderr.strip()[-800:]
        raise TrainingError(f"the simulator failed for seed {seed} ({' '.join(command)}): {output}")
    unfinished.rename(target)
    return target
