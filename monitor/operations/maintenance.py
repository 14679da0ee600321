"""Maintenance of the cubes: removal of what nothing refers to any more.

Every night of a season writes the tiles that have new scenes again, and records a survey, whose layers have a
tag. The cube keeps earlier versions, and chunks of runs that were killed. What is older than some days is
removed: tags of surveys that a later one of the same model replaced, versions without a tag, and then every
file to which no version refers. No run writes meanwhile (`monitor.operations.standstill`), because Icechunk
would remove the chunks of a commit that is being made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from monitor.operations.standstill import standstill
from monitor.progress import Progress
from monitor.workspace import System
from storage.codes import SurveyKind
from storage.cube import tags_of
from storage.history import surveys, tag_of


@dataclass(frozen=True)
class Cleaned:
    """Sizes of a cube before and after."""

    cube: str
    bytes_before: int
    bytes_after: int
    versions_removed: int


def maintain(system: System, keep: timedelta, progress: Progress) -> list[Cleaned]:
    """Remove tags and versions of the cubes that are older than `keep`, and what nothing refers to.

    The layers of all current surveys stay as they are, those of the last survey by each earlier model, and
    those of every tag that a person made.
    """
    cleaned = []
    with standstill(system, "maintain", progress):
        with system.database.connect() as conn:
            made = surveys(conn)
        for kind in (SurveyKind.MODEL, SurveyKind.INDEX):
            folder = system.workspace.cube_folder(kind)
            if not folder.is_dir():
                continue
            with progress.stage(f"cleaning {folder.name}"):
                before = _size(folder)
                cube = system.cube_of(kind)
                removed = cube.clean(datetime.now(UTC) - keep, replaced(cube.tags(), made))
                cleaned.append(Cleaned(folder.name, before, _size(folder), removed))
    return cleaned


def replaced(tags: Sequence[str], made: pd.DataFrame) -> list[str]:
    """The tags of surveys that a later one replaced, and the earlier of several tags of a survey.

    Args:
        tags: names; others than those of surveys are left out.
        made: surveys, with id, region, season, kind, source, created_at and current.
    """
    best = made.sort_values(["current", "created_at"]).groupby(["region", "season", "kind", "source"]).tail(1)
    kept = set(best.id) | set(made.id[made.current])
    obsolete = []
    for region, season, survey in zip(made.region, made.season, made.id, strict=True):
        own = tags_of(tags, tag_of(region, season, survey))
        obsolete += own[:-1] if survey in kept else own
    return obsolete


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
