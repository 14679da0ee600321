"""Simulate an archive from its settings."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.archive import DEM, S1, S2, plan_passes, write_archive
from simulator.errors import SimulatorError
from simulator.safe import GRD, add_ground_range
from simulator.settings import Settings
from simulator.truth import write_truth
from simulator.world import build_world


def simulate(
    settings: Settings,
    out: Path,
    report: Callable[[str, int, int], None] | None = None,
    *,
    ground_range: bool = False,
) -> dict[str, Any]:
    """Write an archive with its truth into a folder; return a summary.

    Args:
        report: called with (step, done, total) during the simulation.
        ground_range: also write a GRD product, in radar geometry, of every radar pass.

    Raises:
        SimulatorError: the folder contains something other than a simulated archive.
    """
    if out.exists() and any(out.iterdir()) and not (out / "truth" / "README.md").exists():
        raise SimulatorError(f"{out} is not empty and is not a simulated archive: choose another folder")
    progress = report or (lambda step, done, total: None)
    began = time.perf_counter()
    progress("relief, lakes and ground", 0, 1)
    world = build_world(settings)
    progress("relief, lakes and ground", 1, 1)
    plan = plan_passes(world)
    progress("clouds", 1, 1)
    total = len(plan.optical) + len(plan.radar) + 1
    finished: list[str] = []

    def done(name: str) -> None:
        finished.append(name)
        progress("scenes", len(finished), total)

    _clear(out)
    write_archive(world, plan, out, done)
    counts = write_truth(world, plan, out)
    progress("truth", 1, 1)
    if ground_range:
        finished += add_ground_range(world, plan, out)
        progress("ground range", 1, 1)
    return {
        "folder": str(out), "catalog": str(out / "catalog.json"),
        "seed": settings.seed, "size": settings.size,
        "seasons": list(settings.seasons), "epsg": settings.epsg, "origin": list(settings.origin),
        "items": len(finished), **counts, "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip


def _clear(out: Path) -> None:
    """Create the folder, and remove the scenes and truth of an earlier archive in it."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (S2, S1, GRD, DEM, "truth"):
        shutil.rmtree(out / name, ignore_errors=True)
