"""What has to be done for a region and a season, and why: every tile's task with its deterministic key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.scenes import SceneList
from monitor.errors import AssetError
from monitor.grid import Tile, grown, tiles_of
from monitor.settings import NAMESPACE
from storage import ledger
from storage.codes import SurveyKind, TaskState
from storage.ledger import TaskRow

#: metres around the zone that are predicted too, so that a lake on its border is drawn whole
REACH_M = 2000.0


@dataclass(frozen=True)
class TileTask:
    """One tile in one season, with everything that decides its result."""

    key: UUID
    region: str
    season: int
    tile: Tile
    scenes: SceneList
    #: part of the tile where a lake counts, EPSG:4326
    zone: BaseGeometry
    #: part of the tile that is predicted: the region's zone and `REACH_M` around it
    reach: BaseGeometry
    model_digest: str
    config_digest: str

    @property
    def impossible(self) -> str | None:
        """Why nothing can be seen whatever is read, if so."""
        mine = self.scenes.within(self.tile)
        for name, scenes in (
            ("Sentinel-2", [scene for choice in mine for scene in choice.optical]),
            ("Sentinel-1", [scene for choice in mine for scene in choice.radar]),
            ("DEM", self.scenes.dem),
        ):
            if not scenes:
                why = "; ".join(f"{item}: {reason}" for item, reason in self.scenes.refused[:3])
                return f"no usable {name} scene" + (f" ({why})" if why else "")
        return None

    @property
    def fault(self) -> AssetError | None:
        """The file whose failure left open which scenes the tile needs, if one did."""
        return next((choice.fault for choice in self.scenes.choices if choice.fault), None)


class Action(StrEnum):
    """What a run will do with a task."""

    NEW = "new"
    DONE = "done"
    SUPERSEDES = "supersedes"
    AGAIN = "again"
    FINISH = "finish"


@dataclass(frozen=True)
class Planned:
    """A task, what will be done with it, and why."""

    task: TileTask
    action: Action
    why: str

    @property
    def to_predict(self) -> bool:
        return self.action in (Action.NEW, Action.SUPERSEDES, Action.AGAIN)


def plan(
    region: str,
    season: int,
    zone: BaseGeometry,
    scenes: SceneList,
    *,
    tile_size: int,
    model_digest: str,
    config_digest: str,
) -> list[TileTask]:
    """The tile tasks of a region and season: every tile that touches `zone` (EPSG:4326).

    A key is the uuid5 of region, tile, season, frozen scenes with their baselines, model and configuration:
    the same key is the same result, so it is never done twice.
    """
    tasks = []
    reach = grown(zone, REACH_M)
    shapely.prepare(zone)
    shapely.prepare(reach)
    for tile in tiles_of(zone, tile_size):
        mine = scenes.over(tile)
        parts = (region, tile.name, str(season), *mine.identity, model_digest, config_digest)
        tasks.append(
            TileTask(
                key=uuid5(NAMESPACE, "|".join(parts)),
                region=region,
                season=season,
                tile=tile,
                scenes=mine,
                zone=shapely.intersection(zone, tile.footprint()),
                reach=shapely.intersection(reach, tile.footprint()),
                model_digest=model_digest,
                config_digest=config_digest,
            )
        )
    return tasks


def decide(
    tasks: Sequence[TileTask],
    known: Iterable[TaskRow],
    written: Mapping[str, UUID],
    old_scenes: Mapping[UUID, frozenset[str]],
) -> list[Planned]:
    """Compare tasks with what the ledger and the cube already hold.

    Args:
        known: every task of the region and season in the ledger.
        written: tile name to the key of the task that the cube's tile was written by.
        old_scenes: item ids of finished tasks, to say what changed.
    """
    rows = {row.key: row for row in known}
    finished = {row.tile: row for row in rows.values() if row.state in (TaskState.DONE, TaskState.EMPTY)}
    planned = []
    for task in tasks:
        row, earlier = rows.get(task.key), finished.get(task.tile.name)
        in_cube = written.get(task.tile.name) == task.key
        if row is not None and row.state == TaskState.DONE and in_cube:
            planned.append(Planned(task, Action.DONE, "done before"))
        elif row is not None and row.state == TaskState.EMPTY:
            planned.append(Planned(task, Action.DONE, f"empty: {row.reason}"))
        elif row is not None and row.state == TaskState.WRITTEN and in_cube:
            planned.append(Planned(task, Action.FINISH, "predicted, but its lakes are not recorded yet"))
        elif row is not None and row.state == TaskState.FAILED:
            planned.append(Planned(task, Action.AGAIN, f"failed before: {row.reason}"))
        elif row is not None and row.state == TaskState.DONE:
            planned.append(Planned(task, Action.AGAIN, "done before, but the cube does not hold it"))
        elif (row is None or row.state == TaskState.SUPERSEDED) and earlier is not None:
            planned.append(Planned(task, Action.SUPERSEDES, _difference(task, earlier, old_scenes)))
        else:
            planned.append(Planned(task, Action.NEW, "interrupted before" if row else "never done"))
    return planned


def _difference(task: TileTask, earlier: TaskRow, old_scenes: Mapping[UUID, frozenset[str]]) -> str:
    """Why the task is another than the finished one of its tile."""
    reasons = []
    if task.model_digest != earlier.model_digest:
        reasons.append("another model")
    if task.config_digest != earlier.config_digest:
        reasons.append("other settings")
    now = {scene.id for scene in (*task.scenes.optical, *task.scenes.radar, *task.scenes.dem)}
    before = old_scenes.get(earlier.key, frozenset())
    if added := sorted(now - before):
        reasons.append(f"new scenes: {', '.join(added)}")
    if gone := sorted(before - now):
        reasons.append(f"scenes no longer used: {', '.join(gone)}")
    return "; ".join(reasons) or "the scenes' order or baselines changed"


def ledger_row(task: TileTask, kind: SurveyKind = SurveyKind.MODEL) -> ledger.PlannedTask:
    """The task as a row of the ledger."""
    return ledger.PlannedTask(
        key=task.key,
        region=task.region,
        tile=task.tile.name,
        season=task.season,
        model_digest=task.model_digest,
        config_digest=task.config_digest,
        scenes=tuple(_frozen(task.scenes)),
        choices={
            choice.cell.name: {"optical": choice.optical, "radar": choice.radar}
            for choice in task.scenes.choices
        },
        kind=kind,
    )


def _frozen(scenes: SceneList) -> Iterator[ledger.FrozenScene]:
    for scene in (*scenes.optical, *scenes.radar, *scenes.dem):
        yield ledger.FrozenScene(
            scene.collection,
            scene.id,
            scene.baseline,
            scene.datetime,
            scene.platform or None,
            scene.relative_orbit,
            scene.orbit_state or None,
            item=scene.item,
        )
