"""One archive from settings to disk, step by step."""

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
    """Write a whole archive with its truth into a folder; returns a summary.

    With `ground_range`, every radar pass is there as a GRD product in the radar's geometry too.
    `report(step, done, total)` hears of the progress. SimulatorError when the folder holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "truth" / "README.md").exists():
        raise SimulatorError(f"{out} is not empty and holds no simulated archive: name another folder")
    tell = report or (lambda step, done, total: None)
    began = time.perf_counter()
    tell("relief, lakes and ground", 0, 1)
    world = build_world(settings)
    tell("relief, lakes and ground", 1, 1)
    plan = plan_passes(world)
    tell("clouds", 1, 1)
    total = len(plan.optical) + len(plan.radar) + 1
    finished: list[str] = []

    def done(name: str) -> None:
        finished.append(name)
        tell("scenes", len(finished), total)

    _clear(out)
    write_archive(world, plan, out, done)
    counts = write_truth(world, plan, out)
    tell("truth", 1, 1)
    if ground_range:
        finished += add_ground_range(world, plan, out)
        tell("ground range", 1, 1)
    return {
        "folder": str(out), "catalog": str(out / "catalog.json"),
        "seed": settings.seed, "size": settings.size,
        "seasons": list(settings.seasons), "epsg": settings.epsg, "origin": list(settings.origin),
        "items": len(finished), **counts, "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip


def _clear(out: Path) -> None:
    """Make the folder, without what an earlier archive left there."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (S2, S1, GRD, DEM, "truth"):
        shutil.rmtree(out / name, ignore_errors=True)
