"""Simulated archives, one per seed, each written by the simulator in a separate process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from training.errors import TrainingError


def archive_of(folder: Path, seed: int) -> Path:
    """Folder of the archive of `seed` below `folder`."""
    return folder / f"seed-{seed}"


def make_archives(
    folder: Path, seeds: Sequence[int], *, size: int, seasons: str, processes: int
) -> list[Path]:
    """Make the archives of `seeds` below `folder`; existing ones are kept.

    Args:
        size: edge of an archive's square, px of 10 m.
        seasons: years in the simulator's notation, such as "2021-2023".
        processes: number of simulators that run in parallel.

    Raises:
        TrainingError: the simulator failed; the end of its error output is in the message.
    """
    with ThreadPoolExecutor(processes) as pool:
        futures = [pool.submit(_make, archive_of(folder, seed), seed, size, seasons) for seed in seeds]
        return [future.result() for future in track(futures, description="simulating archives")]


def _make(target: Path, seed: int, size: int, seasons: str) -> Path:
    if (target / "catalog.json").is_file():
        return target
    unfinished = target.with_name(f"unfinished-{target.name}")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "simulator", str(unfinished)]
    command += ["--seed", str(seed), "--size", str(size), "--seasons", seasons]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        output = ran.stderr.strip()[-800:]
        raise TrainingError(f"the simulator failed for seed {seed} ({' '.join(command)}): {output}")
    unfinished.rename(target)
    return target
