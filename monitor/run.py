"""A season of a region, from scenes to the review queue: the path of the whole system.

The late-summer scenes of the region are frozen into a list, and every tile that was not done before becomes a
task. Workers acquire and segment the tiles, and their layers are committed to the cube. The lakes of the
region are then outlined, matched with the known lakes and compared with their last observations, and chips
with disagreements are flagged. One transaction records the survey in the lake history. Later surveys that are
stale by it are replayed (`monitor.history.replay`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from monitor.archive.freeze import freeze
from monitor.archive.sensors import works_without_optical
from monitor.compute.cluster import Workers
from monitor.compute.season_layers import CubeTiles
from monitor.compute.tile import TileResult
from monitor.errors import ContentRefusedError
from monitor.grid import continuous
from monitor.history.record import SurveyInputs, record_season
from monitor.lakes.fitness import NOT_FIT
from monitor.plan import Action, Planned, Redo, TileTask, decide, ledger_row, plan, size_of
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.workspace import System, config_digest
from segmenter.manifest import SENSORS
from storage import history, ledger, registry
from storage.codes import ModelState, TaskState
from storage.cube_damage import DamagedError
from storage.ledger import TaskRow
from storage.locks import RegionLock
from storage.policy import OPTICAL
from storage.prior import SurveyKey
from storage.status import seen_by

if TYPE_CHECKING:
    from storage.cube import Cube


@dataclass(frozen=True)
class Report:
    """The outcome of a season of a region."""

    region: str
    season: int
    tiles: dict[str, int]
    #: number of empty and failed tiles by reason
    reasons: dict[str, int] = field(default_factory=dict)
    #: number of lakes with water by the sensors from which they were mapped
    seen_by: dict[str, int] = field(default_factory=dict)
    failed: bool = False
    #: no tile was observed
    unobserved: bool = False
    #: every tile was done before, and the survey is up to date
    nothing_new: bool = False
    #: why the recorded survey is doubted
    suspect: str | None = None

    @property
    def summary(self) -> str:
        """One line: tiles by state."""
        tiles = ", ".join(f"{count} {state}" for state, count in sorted(self.tiles.items()))
        outcome = f"nothing to do, every tile was done before ({tiles})" if self.nothing_new else tiles
        return f"{self.region} {self.season}: {outcome}"

    @property
    def sensors(self) -> str | None:
        """One line: lakes by the sensors that saw them; None if all sensors saw all lakes."""
        if set(self.seen_by) <= {"+".join(SENSORS)}:
            return None
        lakes = ", ".join(f"{count} by {name}" for name, count in self.seen_by.items())
        radar = sum(count for name, count in self.seen_by.items() if not name.startswith(OPTICAL))
        return f"lakes seen: {lakes}" + (f"; {radar} by radar without optics" if radar else "")

    @property
    def advice(self) -> str | None:
        """The next step where something is missing."""
        if self.failed:
            return "some tiles failed; the others are recorded. Run the same command again to retry them."
        if self.unobserved:
            return (
                "no tile was observed, and so no lake. `monitor plan` shows the scenes; run again when new "
                "scenes have arrived."
            )
        if self.suspect is not None and self.suspect.startswith(NOT_FIT):
            return (
                "do not use this season: look at its flags (`monitor review export`) and run it with another "
                "model, or with the index (`model: index-baseline`)."
            )
        return None


def run_season(
    system: System,
    workers: Workers,
    lock: RegionLock,
    season: int,
    progress: Progress,
    redo: Redo | None = None,
) -> Report:
    """Bring the region of `lock` up to date in a season; of the finished tiles, only those of `redo` are
    predicted again.

    Raises:
        RefusedError: `redo` has no tile of the season.
        LockLostError: another run has taken the region.
    """
    region = system.workspace.region(lock.region)
    results: list[TileResult] = []
    while True:
        planned = plan_season(system, region, season, progress)
        if redo is not None:
            planned, redo = redo.applied(planned), None
        if (size := size_of(planned)).tiles:
            progress.note(f"to predict: {size}")
        _write_plan(system, lock, region, planned)
        found = list(_predict(system, workers, lock, planned, season, progress))
        results += found
        # an item with impossible numbers is now named in the ledger, and the season is planned without it
        if not any(result.refused for result in found):
            break
    recorded = _survey(system, lock, region, season, [entry.task for entry in planned], progress)
    return _report(region, season, planned, results, system, recorded)


def plan_season(system: System, region: Region, season: int, progress: Progress = SILENT) -> list[Planned]:
    """Every tile task of the season, compared with ledger and cube. Writes nothing."""
    with system.database.connect() as conn:
        known = ledger.tasks(conn, region.name, season, kind=system.workspace.survey_kind)
    frozen = freeze(
        system.workspace.catalog,
        system.workspace.profile,
        region.zone,
        region.season,
        season,
        system.workspace.excluded,
        progress,
        refused_content(known),
        radar_alone=works_without_optical(system.workspace.sets),
    )
    tasks = plan(
        region.name,
        season,
        region.zone,
        frozen.chosen,
        tile_size=system.workspace.settings.tile_size,
        model_digest=system.workspace.manifest.fingerprint,
        config_digest=config_digest(region, system.workspace.profile),
        sets=system.workspace.sets,
    )
    with system.database.connect() as conn:
        old_scenes = {
            row.key: frozenset(scene.item_id for scene in ledger.scenes_of(conn, row.key))
            for row in known
            if row.state in (TaskState.DONE, TaskState.EMPTY)
        }
    return decide(tasks, known, _written(system.cube(region.name), tasks, season), old_scenes)


def refused_content(rows: Iterable[TaskRow]) -> dict[str, str]:
    """Items of a region and season whose content was refused when a tile was read, and why.

    The tasks that found it remain in the ledger, as failed or superseded.
    """
    found: dict[str, str] = {}
    for row in rows:
        fault, reason = row.fault, row.reason
        if fault is None or reason is None or fault.item is None:
            continue
        if ContentRefusedError.tells(reason, fault.item, str(fault.asset), str(fault.href)):
            found.setdefault(fault.item, reason)
    return found


def _written(cube: Cube, tasks: Sequence[TileTask], season: int) -> dict[str, UUID]:
    """Key of the task whose layers the cube holds, by tile name."""
    by_zone = {epsg: cube.written(epsg, season) for epsg in {task.tile.epsg for task in tasks}}
    found = {}
    for tile in (task.tile for task in tasks):
        key = by_zone[tile.epsg].get((tile.row // tile.size, tile.col // tile.size))
        if key is not None:
            found[tile.name] = key
    return found


def _write_plan(system: System, lock: RegionLock, region: Region, planned: Iterable[Planned]) -> None:
    """Write the tasks to the ledger before they are run, so that a run that is killed leaves its plan."""
    manifest = system.workspace.manifest
    todo = [entry.task for entry in planned if entry.action != Action.DONE]
    with lock.begin() as conn:
        registry.upsert_region(conn, region.name, region.outline, region.settings.model_dump(mode="json"))
        if not todo:
            return
        registry.register_model(
            conn,
            manifest.fingerprint,
            manifest.name,
            manifest.version,
            manifest.model_dump(mode="json"),
            state=ModelState.ACTIVE,
        )
        registry.upsert_tiles(
            conn,
            [
                # one polygon each, also across 180 degrees
                registry.TileRow(
                    tile.name, tile.epsg, tile.size, tile.row, tile.col, continuous(tile.footprint())
                )
                for tile in (task.tile for task in todo)
            ],
        )
        rows = [ledger_row(task, system.workspace.survey_kind) for task in todo]
        ledger.plan_tasks(conn, rows, lock.run_id)
        again = [entry.task.key for entry in planned if entry.action == Action.AGAIN]
        ledger.reopen(conn, again)


def _predict(
    system: System,
    workers: Workers,
    lock: RegionLock,
    planned: Sequence[Planned],
    season: int,
    progress: Progress,
) -> Iterator[TileResult]:
    """Predict the tiles that are left; each is committed to the cube, then marked in the ledger."""
    todo = [entry.task for entry in planned if entry.to_predict]
    cube = system.cube(lock.region)
    for epsg in sorted({entry.task.tile.epsg for entry in planned}):
        cube.prepare(epsg, season)
    with progress.count("tiles", len(todo)) as done:
        for result in workers.predict(todo, system.workspace.profile, system.workspace.model_folders, cube):
            with lock.begin() as conn:
                if result.slot is not None:
                    metadata = {"task": str(result.task.key), "tile": result.task.tile.name, "season": season}
                    cube.commit(result.slot, f"{result.task.tile.name} {season}", metadata)
                ledger.set_state(
                    conn,
                    result.task.key,
                    result.state,
                    reason=result.reason,
                    fault=result.fault,
                    run_id=lock.run_id,
                )
                if result.slot is not None:
                    history.make_stale(conn, result.task.tile.name, result.task.key)
            done()
            if result.reason:
                progress.note(f"{result.task.tile.name}: {result.state}: {result.reason}")
            # its layers are committed; the slots of a whole region would fill the memory
            yield replace(result, slot=None)


def _survey(
    system: System,
    lock: RegionLock,
    region: Region,
    season: int,
    tasks: Sequence[TileTask],
    progress: Progress,
) -> bool:
    """Record the season's survey from the cube; False when the current survey is up to date."""
    manifest = system.workspace.manifest
    cube = system.cube(region.name)
    with lock.begin() as conn:
        history.lock(conn)
        states = ledger.task_states(conn, [task.key for task in tasks])
        written = _written(cube, tasks, season)
        done = {
            task.key
            for task in tasks
            if written.get(task.tile.name) == task.key
            # of a tile that failed again, the layers of before stand, unless they are the damage
            and (states[task.key] != TaskState.FAILED or _can_be_read(cube, task))
        }
        if not done and TaskState.FAILED in states.values():
            return False  # no tile could be read, so there is no survey
        inputs = SurveyInputs(
            _key(system, region, season),
            manifest.fingerprint,
            {task.tile.name: str(task.key) if task.key in done else None for task in tasks},
        )
        finished = [key for key in done if states[key] in (TaskState.WRITTEN, TaskState.DONE)]
        return record_season(conn, cube, region, manifest, inputs, lock.run_id, finished, progress)


def _key(system: System, region: Region, season: int) -> SurveyKey:
    manifest = system.workspace.manifest
    return SurveyKey(region.name, season, system.workspace.survey_kind, f"{manifest.name} {manifest.version}")


def _can_be_read(cube: Cube, task: TileTask) -> bool:
    """Whether no layer of the task's tile is damaged."""
    layers = CubeTiles.of(cube.view(), task.season, [task.tile]).read(task.tile)
    try:
        return bool(layers.arrays)
    except DamagedError:
        return False


def _report(
    region: Region,
    season: int,
    planned: Sequence[Planned],
    results: Sequence[TileResult],
    system: System,
    recorded: bool,
) -> Report:
    with system.database.connect() as conn:
        keys = {entry.task.key for entry in planned}
        rows = [row for row in ledger.tasks(conn, region.name, season) if row.key in keys]
        survey = history.current_survey(conn, _key(system, region, season))
        lakes = seen_by(conn, region.name, season, system.workspace.survey_kind)
    states = Counter(row.state.value for row in rows)
    return Report(
        region=region.name,
        season=season,
        tiles=dict(states),
        reasons=dict(Counter(row.reason for row in rows if row.reason)),
        seen_by=lakes,
        failed=states[TaskState.FAILED] > 0,
        unobserved=states[TaskState.DONE] == 0,
        nothing_new=not results and not recorded,
        suspect=None if survey is None else survey.suspect,
    )
