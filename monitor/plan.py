"""The tile tasks of a region and season, with deterministic keys, and what a run does with each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from statistics import mean
from uuid import UUID, uuid5

import shapely
from shapely.geometry.base import BaseGeometry

from monitor.archive.choice import DATES_KEPT, RADAR_KEPT
from monitor.archive.explanations import Code, Explanation
from monitor.archive.scenes import SceneList
from monitor.archive.sensors import EVERY, Sets, lacking, sensors_over
from monitor.errors import AssetError, RefusedError
from monitor.grid import Tile, grown, tiles_of
from monitor.progress import readable_bytes
from monitor.settings import NAMESPACE
from segmenter.manifest import name_of
from segmenter.sensors import best_set
from storage import ledger
from storage.codes import SurveyKind, TaskState
from storage.ledger import TaskRow

#: metres around the zone that are predicted too, so that the outline of a lake on its border is complete
REACH_M = 2000.0
#: refused items that the explanation of an impossible tile lists
EXAMPLES = 3


class Why(Code):
    """Why a run predicts a tile or leaves it as it is, or why it cannot be predicted."""

    NEVER_DONE = "never_done", "never done"
    INTERRUPTED = "interrupted", "interrupted before"
    DONE = "done", "done before"
    EMPTY = "empty", "empty: {reason}"
    NOT_RECORDED = "not_recorded", "predicted, but its lakes are not recorded yet"
    FAILED = "failed", "failed before: {reason}"
    NOT_IN_CUBE = "not_in_cube", "done before, but the cube does not hold it"
    OTHER_MODEL = "other_model", "another model"
    OTHER_SETTINGS = "other_settings", "other settings"
    NEW_SCENES = "new_scenes", "new scenes: {scenes}"
    SCENES_GONE = "scenes_gone", "scenes no longer used: {scenes}"
    OTHER_ORDER = "other_order", "the order or the baselines of the scenes changed"
    REDO = "redo", "asked for again ({before})"
    NO_SCENE = "no_scene", "no usable {input} scene"
    ALL_REFUSED = "all_refused", "no usable {input} scene ({examples})"
    FEWER = "fewer", "{sensors} only, no usable {inputs} scene"


#: Bytes of a 10 m pixel before compression: Sentinel-2 (4 bands of 10 m, 6 of 20 m, 2 of 60 m in 16 bits,
#: scene classes of 20 m in 8 bits), Sentinel-1 (two polarisations in 32 bits), the DEM (30 m, 32 bits)
OPTICAL_BYTES, RADAR_BYTES, DEM_BYTES = 2 * (4 + 6 / 4 + 2 / 36) + 1 / 4, 8.0, 4 / 9
#: pixels beside a tile that are read too, with a model of 224 px chips
READ_BESIDE = 256


@dataclass(frozen=True)
class TileTask:
    """One tile in one season, with all inputs on which its result depends."""

    key: UUID
    region: str
    season: int
    tile: Tile
    scenes: SceneList
    #: part of the tile in which lakes are recorded, EPSG:4326
    zone: BaseGeometry
    #: part of the tile that is predicted: the region's zone and `REACH_M` around it
    reach: BaseGeometry
    model_digest: str
    config_digest: str
    #: for which the model was validated
    sets: Sets = EVERY

    @property
    def used(self) -> int:
        """Code of the best set of sensors that the tile can be predicted with; 0 if there is none."""
        return best_set(self.sets, sensors_over(self.tile, self.scenes))

    @property
    def impossible(self) -> Explanation | None:
        """Why the tile cannot be predicted: the model needs an input without a usable scene. Else None."""
        if self.used:
            return None
        first = lacking(sensors_over(self.tile, self.scenes))[0]
        examples = "; ".join(f"{item}: {why}" for item, why in self.scenes.refused[:EXAMPLES])
        if not examples:
            return Why.NO_SCENE.because(input=first)
        return Why.ALL_REFUSED.because(input=first, examples=examples)

    @property
    def fewer(self) -> Explanation | None:
        """The sensors with which the tile is predicted, if an input of the model has no usable scene."""
        if self.used in (0, self.sets[0]):
            return None
        inputs = lacking(sensors_over(self.tile, self.scenes))
        return Why.FEWER.because(sensors=name_of(self.used), inputs=inputs)

    @property
    def fault(self) -> AssetError | None:
        """The unreadable file because of which the choice of scenes is undecided, if there is one."""
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
    """A task, the action that a run takes, and why."""

    task: TileTask
    action: Action
    #: at least one; several where a task differs in more than one way from the finished one of its tile
    why: tuple[Explanation, ...]

    @property
    def to_predict(self) -> bool:
        """Whether a run predicts the tile."""
        return self.action in (Action.NEW, Action.SUPERSEDES, Action.AGAIN)

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Why the tile cannot be predicted, else why the action is taken and which sensors it lacks."""
        if self.task.impossible:
            return (self.task.impossible,)
        return (*self.why, self.task.fewer) if self.task.fewer else self.why

    @property
    def words(self) -> str:
        """The explanations in one line."""
        return "; ".join(map(str, self.explanations))


@dataclass(frozen=True)
class Size:
    """How large work is, before it starts.

    Attributes:
        tiles: tiles to predict.
        download_bytes: what is read of the archive: whole scenes' pixels over each tile and its surroundings,
            before compression. A catalogue's compression lowers it, the files' blocks raise it.
        disk_bytes: the most that the cube takes, before compression.
        scenes: scenes to read; None as long as the archive has not been searched.
    """

    tiles: int
    download_bytes: float
    disk_bytes: float
    scenes: int | None = None

    def __str__(self) -> str:
        scenes = "" if self.scenes is None else f", {self.scenes} scenes"
        many = "" if self.tiles == 1 else "s"
        return (
            f"{self.tiles} tile{many}{scenes}, about {readable_bytes(self.download_bytes)} to download, "
            f"at most {readable_bytes(self.disk_bytes)} on disk"
        )


def season_size(zones: Iterable[BaseGeometry], tile_size: int) -> Size:
    """The size of one season over all of `zones` (EPSG:4326), with as many scenes as a cell can use."""
    tiles = sum(len(tiles_of(zone, tile_size)) for zone in zones)
    return _size(tiles, tile_size, tiles * DATES_KEPT, tiles * RADAR_KEPT)


def size_of(planned: Iterable[Planned]) -> Size:
    """The size of what a plan has to predict, with the scenes that were chosen."""
    tasks = [entry.task for entry in planned if entry.to_predict and entry.task.impossible is None]
    scenes = {scene.id for task in tasks for scene in (*task.scenes.optical, *task.scenes.radar)}
    mine = [task.scenes.within(task.tile) for task in tasks]
    optical = sum(mean(len(choice.optical) for choice in choices) for choices in mine)
    radar = sum(mean(len(choice.radar) for choice in choices) for choices in mine)
    return _size(len(tasks), tasks[0].tile.size if tasks else 0, optical, radar, len(scenes))


def _size(tiles: int, tile_size: int, optical: float, radar: float, scenes: int | None = None) -> Size:
    """The size of `tiles` of `tile_size` px; `optical` and `radar` count a scene for each tile it serves."""
    from storage.cube_layout import BYTES_PER_PIXEL

    bytes_read = optical * OPTICAL_BYTES + radar * RADAR_BYTES + tiles * DEM_BYTES
    return Size(
        tiles,
        download_bytes=(tile_size + 2 * READ_BESIDE) ** 2 * bytes_read,
        disk_bytes=tiles * tile_size**2 * BYTES_PER_PIXEL,
        scenes=scenes,
    )


def plan(
    region: str,
    season: int,
    zone: BaseGeometry,
    scenes: SceneList,
    *,
    tile_size: int,
    model_digest: str,
    config_digest: str,
    sets: Sets = EVERY,
) -> list[TileTask]:
    """The tile tasks of a region and season: every tile that touches `zone` (EPSG:4326).

    A key is the uuid5 of region, tile, season, frozen scenes with their baselines, model and configuration.
    Tasks of the same key have the same result, so none is done twice.

    Args:
        sets: of sensors, for which the model was validated.
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
                sets=sets,
            )
        )
    return tasks


def decide(
    tasks: Sequence[TileTask],
    known: Iterable[TaskRow],
    written: Mapping[str, UUID],
    old_scenes: Mapping[UUID, frozenset[str]],
) -> list[Planned]:
    """Compare tasks with the contents of the ledger and the cube.

    Args:
        known: every task of the region and season in the ledger.
        written: tile name to the key of the task that wrote the tile into the cube.
        old_scenes: item ids of finished tasks, from which the changes of scenes are listed.
    """
    rows = {row.key: row for row in known}
    finished = {row.tile: row for row in rows.values() if row.state in (TaskState.DONE, TaskState.EMPTY)}
    planned = []
    for task in tasks:
        why: tuple[Explanation, ...]
        row, earlier = rows.get(task.key), finished.get(task.tile.name)
        in_cube = written.get(task.tile.name) == task.key
        if row is not None and row.state == TaskState.DONE and in_cube:
            action, why = Action.DONE, (Why.DONE.because(),)
        elif row is not None and row.state == TaskState.EMPTY:
            action, why = Action.DONE, (Why.EMPTY.because(reason=str(row.reason)),)
        elif row is not None and row.state == TaskState.WRITTEN and in_cube:
            action, why = Action.FINISH, (Why.NOT_RECORDED.because(),)
        elif row is not None and row.state == TaskState.FAILED:
            action, why = Action.AGAIN, (Why.FAILED.because(reason=str(row.reason)),)
        elif row is not None and row.state == TaskState.DONE:
            action, why = Action.AGAIN, (Why.NOT_IN_CUBE.because(),)
        elif (row is None or row.state == TaskState.SUPERSEDED) and earlier is not None:
            action, why = Action.SUPERSEDES, _difference(task, earlier, old_scenes)
        else:
            action, why = Action.NEW, ((Why.INTERRUPTED if row else Why.NEVER_DONE).because(),)
        planned.append(Planned(task, action, why))
    return planned


@dataclass(frozen=True)
class Redo:
    """The tiles of a season that are done again although they are finished."""

    #: name of the only tile; None: all tiles
    tile: str | None = None
    #: text in the explanation that a plan gives of the tile, in any case; None: whatever it is
    reason: str | None = None

    def applied(self, planned: Sequence[Planned]) -> list[Planned]:
        """The plan in which the tiles are predicted again, under their keys; other entries are unchanged.

        Raises:
            RefusedError: there is no such tile, or none with such an explanation; names those that there are.
        """
        names = [entry.task.tile.name for entry in planned]
        if self.tile is not None and self.tile not in names:
            near = get_close_matches(self.tile, names, n=3, cutoff=0) or ["none"]
            raise RefusedError(
                f"--tile: the region has no tile {self.tile!r} in this season; the nearest of its "
                f"{len(names)} names: {', '.join(near)}. `monitor plan` lists them"
            )
        mine = [entry for entry in planned if self.tile in (None, entry.task.tile.name)]
        chosen = [entry for entry in mine if (self.reason or "").casefold() in entry.words.casefold()]
        if not chosen:
            there = "; ".join(sorted({entry.words for entry in mine})[:EXAMPLES]) or "no tile at all"
            raise RefusedError(f"--reason: no tile has {self.reason!r} in its explanation; there is: {there}")
        keys = {entry.task.key for entry in chosen if not entry.to_predict}
        return [
            replace(entry, action=Action.AGAIN, why=(Why.REDO.because(before=_before(entry)),))
            if entry.task.key in keys
            else entry
            for entry in planned
        ]


def _before(entry: Planned) -> str:
    """Why a tile would not be predicted."""
    return str(entry.task.impossible or "; ".join(map(str, entry.why)))


def _difference(
    task: TileTask, earlier: TaskRow, old_scenes: Mapping[UUID, frozenset[str]]
) -> tuple[Explanation, ...]:
    """How the task differs from the finished one of its tile."""
    differences = []
    if task.model_digest != earlier.model_digest:
        differences.append(Why.OTHER_MODEL.because())
    if task.config_digest != earlier.config_digest:
        differences.append(Why.OTHER_SETTINGS.because())
    now = {scene.id for scene in task.scenes.scenes}
    before = old_scenes.get(earlier.key, frozenset())
    if added := sorted(now - before):
        differences.append(Why.NEW_SCENES.because(scenes=tuple(added)))
    if gone := sorted(before - now):
        differences.append(Why.SCENES_GONE.because(scenes=tuple(gone)))
    return tuple(differences) or (Why.OTHER_ORDER.because(),)


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
    for scene in scenes.scenes:
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
