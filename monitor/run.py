"""A season of a region, from scenes to the review queue. Read this and you have read the system.

The archive's late-summer scenes of the region are frozen into a list; every tile not done before becomes a
task; workers acquire and segment the tiles and their layers are committed to the cube; then the region's
lakes are outlined, matched with the known ones and compared, doubtful chips are flagged, and one transaction
records it all in the lake history. Surveys that this makes stale are then replayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from monitor.archive.freeze import freeze
from monitor.compute.cluster import Workers
from monitor.compute.season_layers import CubeTiles
from monitor.compute.tile import TileResult
from monitor.grid import tile_named
from monitor.history.inventories.importing import replay_inventory
from monitor.history.record import SurveyInputs, record, stale_survey, survey_state
from monitor.history.season import PreviousSeason, draft_season
from monitor.history.tiles import holds, located
from monitor.plan import Action, Planned, TileTask, decide, ledger_row, plan
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.workspace import System, config_digest
from segmenter.manifest import Manifest
from storage import history, ledger, registry
from storage.codes import ModelState, SurveyKind, TaskState
from storage.errors import StorageError
from storage.history import Survey
from storage.prior import SurveyKey, prior_surveys

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage.cube import Cube


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

    @property
    def summary(self) -> str:
        """One line: tiles by state."""
        tiles = ", ".join(f"{count} {state}" for state, count in sorted(self.tiles.items()))
        said = f"nothing to do, every tile was done before ({tiles})" if self.nothing_new else tiles
        return f"{self.region} {self.season}: {said}"

    @property
    def advice(self) -> str | None:
        """What to do where something is missing."""
        if self.failed:
            return "some tiles failed; the others are recorded. Run the same command again to retry them."
        if self.blind:
            return (
                "nothing could be seen: no lake was observed. `monitor plan` shows the scenes; run again "
                "when new ones have arrived."
            )
        return None


def run_season(
    system: System, workers: Workers, region_name: str, season: int, progress: Progress, run_id: UUID
) -> Report:
    """Bring one region and season up to date; what was done before is not done again."""
    region = system.workspace.region(region_name)
    planned = plan_season(system, region, season, progress)
    _remember(system, region, planned, run_id)
    results = list(_predict(system, workers, planned, season, progress, run_id))
    recorded = _survey(system, region, season, [entry.task for entry in planned], run_id, progress)
    return _report(region, season, planned, results, system, recorded)


def plan_season(system: System, region: Region, season: int, progress: Progress = SILENT) -> list[Planned]:
    """Every tile task of the season, compared with ledger and cube. Writes nothing."""
    weighed = freeze(
        system.workspace.catalog,
        system.workspace.profile,
        region.zone,
        region.season,
        season,
        system.workspace.excluded,
        progress,
    )
    tasks = plan(
        region.name,
        season,
        region.zone,
        weighed.chosen,
        tile_size=system.workspace.settings.tile_size,
        model_digest=system.workspace.manifest.fingerprint,
        config_digest=config_digest(region, system.workspace.profile),
    )
    with system.database.connect() as conn:
        known = ledger.tasks(conn, region.name, season, kind=system.workspace.survey_kind)
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
    manifest = system.workspace.manifest
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
        ledger.plan_tasks(conn, [ledger_row(task, system.workspace.survey_kind) for task in todo], run_id)
        again = [entry.task.key for entry in planned if entry.action == Action.AGAIN]
        ledger.reopen(conn, again)


def _predict(
    system: System,
    workers: Workers,
    planned: Sequence[Planned],
    season: int,
    progress: Progress,
    run_id: UUID,
) -> Iterator[TileResult]:
    """Predict what is left to predict; each tile is committed to the cube, then noted in the ledger."""
    todo = [entry.task for entry in planned if entry.to_predict]
    for epsg in sorted({entry.task.tile.epsg for entry in planned}):
        system.cube.prepare(epsg, season)
    with progress.count("tiles", len(todo)) as done:
        for result in workers.predict(
            todo, system.workspace.profile, system.workspace.model_folders, system.cube
        ):
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
            done()
            if result.reason:
                progress.note(f"{result.task.tile.name}: {result.state}: {result.reason}")
            # what it wrote is committed; the slots of a whole region would fill the memory
            yield replace(result, slot=None)


def _survey(
    system: System,
    region: Region,
    season: int,
    tasks: Sequence[TileTask],
    run_id: UUID,
    progress: Progress,
) -> bool:
    """Record the season's survey from the cube; False when the current survey is up to date."""
    manifest, kind = system.workspace.manifest, system.workspace.survey_kind
    with system.database.begin() as conn:
        history.lock(conn)
        states = ledger.task_states(conn, [task.key for task in tasks])
        written = _written(system, tasks, season)
        done = {task.key for task in tasks if written.get(task.tile.name) == task.key}
        if not done and TaskState.FAILED in states.values():
            return False  # nothing was observed because it could not be read: that is no survey
        inputs = SurveyInputs(
            SurveyKey(region.name, season, kind, f"{manifest.name} {manifest.version}"),
            manifest.fingerprint,
            {task.tile.name: str(task.key) if task.key in done else None for task in tasks},
        )
        finished = [key for key in done if states[key] in (TaskState.WRITTEN, TaskState.DONE)]
        return record_season(conn, system.cube, region, manifest, inputs, run_id, finished, progress)


def record_season(
    conn: Connection,
    cube: Cube,
    region: Region,
    manifest: Manifest,
    inputs: SurveyInputs,
    run_id: UUID | None,
    done_tasks: Sequence[UUID],
    progress: Progress = SILENT,
) -> bool:
    """Draft a season's survey from its layers in the cube, and record it with all that follows from it.

    Returns:
        False when the current survey is up to date, or the new one equals it.
    """
    state = survey_state(conn, inputs)
    if state.current is not None and state.up_to_date:
        ledger.complete(conn, done_tasks, state.current.id)
        return False
    key, tiles = inputs.key, [tile_named(name) for name in sorted(inputs.drawn_from)]
    before = history.season_before(conn, key)
    view = cube.view()
    previous = None if before is None else PreviousSeason(before, CubeTiles.of(view, before, tiles))
    prior = prior_surveys(conn, key, compared=before, replaced=state.replaced)
    draft = draft_season(
        CubeTiles.of(view, key.season, tiles),
        region,
        key.season,
        prior,
        previous,
        smallest_m2=manifest.smallest_lake_m2,
        area_factor=manifest.area_factor,
        kind=key.kind,
        progress=progress,
    )
    draft = draft.with_observations(located(draft.observations, region, tiles, inputs.drawn_from))
    survey, changed = record(conn, state, draft, run_id=run_id, done_tasks=done_tasks)
    tag = f"{key.region}-{key.season}-{survey.id}"
    if changed and tag not in cube.tags():
        cube.tag(tag)
    return changed


@dataclass(frozen=True)
class Replayed:
    """Surveys that were stale: (region, season)."""

    #: those that came out differently when they were replayed
    changed: tuple[tuple[str, int], ...]
    #: those that are still stale, because this workspace lacks their region or their layers
    stale: tuple[tuple[str, int], ...]


def replay_stale(system: System) -> Replayed:
    """Draft and record again, in their order, the surveys whose prior surveys have changed since.

    Each is a transaction of its own; after a crash the next run replays the rest.
    """
    with system.database.connect() as conn:
        keys = history.survey_keys(conn)
    changed, stale = [], []
    for key in keys:
        with system.database.begin() as conn:
            survey = stale_survey(conn, key)
            if survey is None:
                continue
            if survey.kind == SurveyKind.INVENTORY:
                differs = replay_inventory(conn, survey)
            elif can_replay(system, survey):
                differs = _replay_season(system, conn, survey)
            else:
                stale.append((key.region, key.season))
                continue
        if differs:
            changed.append((key.region, key.season))
    return Replayed(tuple(changed), tuple(stale))


def can_replay(system: System, survey: Survey) -> bool:
    """Whether the region is the workspace's, and the cube holds what the survey was drawn from."""
    known = survey.region in system.workspace.regions()
    return known and holds(system.workspace.cube_of(survey.kind), survey.season, survey.drawn_from)


def _replay_season(system: System, conn: Connection, survey: Survey) -> bool:
    """Draft and record a survey again, with the model that made it.

    Raises:
        StorageError: the model is not in the registry any more.
    """
    model = registry.model(conn, survey.digest)
    if model is None:
        run = f"monitor run --region {survey.region} --season {survey.season}"
        raise StorageError(
            f"The survey of {survey.region} {survey.season} is stale and must be replayed, but its model "
            f"{survey.digest} is not in the registry; run `{run}`."
        )
    return record_season(
        conn,
        system.workspace.cube_of(survey.kind),
        system.workspace.region(survey.region),
        Manifest.model_validate(model.manifest),
        SurveyInputs.of(survey),
        survey.run_id,
        [UUID(task) for task in survey.drawn_from.values() if task],
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
