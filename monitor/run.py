"""A season of a region, from scenes to the review queue. Read this and you have read the system.

The archive's late-summer scenes of the region are frozen into a list; every tile not done before becomes a
task; workers acquire and segment the tiles and their layers are committed to the cube; then the region's
lakes are drawn, matched with the known ones and compared, doubtful chips are flagged, and one transaction
writes it all into the lake history. Seasons that were told without it are then told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from monitor import telling
from monitor.archive.freeze import freeze
from monitor.archive.scenes import SceneList
from monitor.cluster import Workers
from monitor.inventory.importing import redraw_inventory
from monitor.plan import Action, Planned, TileTask, decide, plan
from monitor.season import redraw_season, tell_season
from monitor.settings import Region, config_digest
from monitor.system import System
from monitor.tiles import TileResult
from monitor.watch import UNWATCHED, Watch
from storage import history, ledger, registry
from storage.codes import ModelState, SurveyKind, TaskState


@dataclass(frozen=True)
class Report:
    """How a season of a region ended."""

    region: str
    season: int
    tiles: dict[str, int]
    #: reasons of empty and failed tiles, with how many
    reasons: dict[str, int] = field(default_factory=dict)
    failed: bool = False
    #: no tile could be seen at all
    blind: bool = False
    #: nothing was left to do
    nothing_new: bool = False


def run_season(
    system: System, workers: Workers, region_name: str, season: int, watch: Watch, run_id: UUID
) -> Report:
    """Bring one region and season up to date; what was done before is not done again."""
    region = system.workspace.region(region_name)
    planned = plan_season(system, region, season, watch)
    _remember(system, region, planned, run_id)
    results = list(_predict(system, workers, planned, season, watch, run_id))
    with watch.stage("lakes"):
        recorded = _survey(system, region, season, [entry.task for entry in planned], run_id)
    return _report(region, season, planned, results, system, recorded)


def plan_season(system: System, region: Region, season: int, watch: Watch = UNWATCHED) -> list[Planned]:
    """Every tile task of the season, compared with ledger and cube. Writes nothing."""
    weighed = freeze(
        system.catalog, system.profile, region.zone, region.season, season, system.excluded, watch
    )
    tasks = plan(
        region.name,
        season,
        region.zone,
        weighed.chosen,
        tile_size=system.workspace.settings.tile_size,
        model_digest=system.manifest.fingerprint,
        config_digest=config_digest(region, system.profile),
    )
    with system.database.connect() as conn:
        known = ledger.tasks(conn, region.name, season, kind=system.survey_kind)
        old_scenes = {
            row.key: frozenset(scene.item_id for scene in ledger.scenes_of(conn, row.key))
            for row in known
            if row.state in (TaskState.DONE, TaskState.EMPTY)
        }
    return decide(tasks, known, _written(system, tasks, season), old_scenes)


def _written(system: System, tasks: Sequence[TileTask], season: int) -> dict[str, UUID]:
    """Tile name to the task whose layers the cube holds."""
    by_zone = {epsg: system.cube.written(epsg, season) for epsg in {task.tile.epsg for task in tasks}}
    found = {}
    for tile in (task.tile for task in tasks):
        key = by_zone[tile.epsg].get((tile.row // tile.size, tile.col // tile.size))
        if key is not None:
            found[tile.name] = key
    return found


def _remember(system: System, region: Region, planned: Iterable[Planned], run_id: UUID) -> None:
    """Write down what is about to be done, so that a run that dies leaves its plan."""
    manifest = system.manifest
    todo = [entry.task for entry in planned if entry.action != Action.DONE]
    with system.database.begin() as conn:
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
                registry.TileRow(
                    t.tile.name, t.tile.epsg, t.tile.size, t.tile.row, t.tile.col, t.tile.footprint()
                )
                for t in todo
            ],
        )
        ledger.plan_tasks(conn, [planned_row(task, system.survey_kind) for task in todo], run_id)
        again = [entry.task.key for entry in planned if entry.action == Action.AGAIN]
        ledger.reopen(conn, again)


def planned_row(task: TileTask, kind: SurveyKind = SurveyKind.MODEL) -> ledger.PlannedTask:
    """A task as the ledger keeps it."""
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


def _predict(
    system: System,
    workers: Workers,
    planned: Sequence[Planned],
    season: int,
    watch: Watch,
    run_id: UUID,
) -> Iterator[TileResult]:
    """Predict what is left to predict; each tile is committed to the cube, then noted in the ledger."""
    todo = [entry.task for entry in planned if entry.to_predict]
    for epsg in sorted({entry.task.tile.epsg for entry in planned}):
        system.cube.prepare(epsg, season)
    with watch.tiles(len(todo)):
        for result in workers.predict(todo, system.profile, system.model_folders, system.cube):
            if result.slot is not None:
                metadata = {"task": str(result.task.key), "tile": result.task.tile.name, "season": season}
                system.cube.commit(result.slot, f"{result.task.tile.name} {season}", metadata)
            with system.database.begin() as conn:
                ledger.set_state(
                    conn,
                    result.task.key,
                    result.state,
                    reason=result.reason,
                    fault=result.fault,
                    run_id=run_id,
                )
            watch.tile(result)
            # what it wrote is committed; the slots of a whole region would fill the memory
            yield replace(result, slot=None)


def _survey(system: System, region: Region, season: int, tasks: Sequence[TileTask], run_id: UUID) -> bool:
    """Draw and record the season's survey from the cube, in one transaction; False when it stands already."""
    with system.database.begin() as conn:
        history.lock(conn)
        states = ledger.task_states(conn, [task.key for task in tasks])
        written = _written(system, tasks, season)
        done = {task.key for task in tasks if written.get(task.tile.name) == task.key}
        if not done and TaskState.FAILED in states.values():
            return False  # nothing was seen because it could not be read: that is no survey
        return tell_season(
            conn,
            system.cube,
            region,
            season,
            system.survey_kind,
            system.manifest,
            {task.tile.name: str(task.key) if task.key in done else None for task in tasks},
            run_id=run_id,
            done_tasks=[key for key in done if states[key] in (TaskState.WRITTEN, TaskState.DONE)],
        )


def retell(system: System) -> telling.Retold:
    """Tell again what was told before an earlier survey arrived."""
    redraw_cube = partial(redraw_season, system)
    return telling.retell(
        system.database,
        {
            SurveyKind.INVENTORY: redraw_inventory,
            SurveyKind.MODEL: redraw_cube,
            SurveyKind.INDEX: redraw_cube,
        },
    )


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
    states = Counter(row.state.value for row in rows)
    return Report(
        region=region.name,
        season=season,
        tiles=dict(states),
        reasons=dict(Counter(row.reason for row in rows if row.reason)),
        failed=states[TaskState.FAILED] > 0,
        blind=states[TaskState.DONE] == 0,
        nothing_new=not results and not recorded,
    )
