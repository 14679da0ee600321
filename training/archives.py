"""Simulated archives, one a seed, each written by the simulator in a process of its own."""

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
    """Where the archive of `seed` lies below `folder`."""
    return folder / f"seed-{seed}"


def make_archives(
    folder: Path, seeds: Sequence[int], *, size: int, seasons: str, processes: int
) -> list[Path]:
    """The archives of `seeds` below `folder`; those that are there are kept.

    Args:
        size: edge of an archive's square, px of 10 m.
        seasons: years, as the simulator takes them: "2021-2023".
        processes: how many simulators run beside one another.

    Raises:
        TrainingError: the simulator refused or broke; its own last words are in the message.
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
        words = ran.stderr.strip()[-800:]
        raise TrainingError(f"the simulator failed for seed {seed} ({' '.join(command)}): {words}")
    unfinished.rename(target)
    return target
