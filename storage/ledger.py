"""Ledger of runs and tasks: their inputs, states, and the reasons of those that were not done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from storage.codes import RunOutcome, SurveyKind, TaskState
from storage.errors import StorageError
from storage.redaction import redacted, storable
from storage.tables import Run, Scene, Task, TaskScene

__all__ = [
    "Fault",
    "FrozenScene",
    "PlannedTask",
    "RunRow",
    "TaskRow",
    "complete",
    "finish_run",
    "frozen",
    "last_run",
    "plan_tasks",
    "reopen",
    "scenes_of",
    "set_state",
    "start_run",
    "task_states",
    "tasks",
]


Choices = Mapping[str, Mapping[str, Sequence[str]]]
"""For each cell of the global grid and each kind (optical, radar): ids of the scenes used, best first."""


@dataclass(frozen=True)
class FrozenScene:
    """A scene in the frozen list of a task. An item reprocessed with another baseline is another scene."""

    collection: str
    item_id: str
    baseline: str = ""
    taken_at: datetime | None = None
    platform: str | None = None
    relative_orbit: int | None = None
    orbit_state: str | None = None
    href: str | None = None
    item: Mapping[str, Any] = field(default_factory=dict)
    """The STAC item, so that the task can be repeated without its catalogue."""


@dataclass(frozen=True)
class PlannedTask:
    """A task to be added to the ledger."""

    key: UUID
    region: str
    tile: str
    season: int
    model_digest: str
    config_digest: str
    scenes: tuple[FrozenScene, ...] = ()
    choices: Choices = field(default_factory=dict)
    kind: SurveyKind = SurveyKind.MODEL
    """Kind of its survey. Tasks of an index and of a model do not supersede one another."""


@dataclass(frozen=True)
class Fault:
    """The input of a task that could not be used."""

    item: str | None = None
    asset: str | None = None
    href: str | None = None


@dataclass(frozen=True)
class TaskRow:
    """A task in the ledger."""

    key: UUID
    region: str
    tile: str
    season: int
    kind: SurveyKind
    model_digest: str
    config_digest: str
    state: TaskState
    reason: str | None
    fault: Fault | None
    run_id: UUID | None
    survey_id: UUID | None
    superseded_by: UUID | None
    updated_at: datetime


@dataclass(frozen=True)
class RunRow:
    """A run in the ledger."""

    id: UUID
    command: str
    outcome: RunOutcome
    started_at: datetime
    finished_at: datetime | None


def last_run(conn: Connection) -> RunRow | None:
    """The run that was started last; None before the first one."""
    columns = (Run.id, Run.command, Run.outcome, Run.started_at, Run.finished_at)
    row = conn.execute(select(*columns).order_by(Run.started_at.desc(), Run.id).limit(1)).one_or_none()
    return None if row is None else RunRow(row[0], row[1], RunOutcome(row[2]), row[3], row[4])


def start_run(conn: Connection, command: str, settings: Mapping[str, Any]) -> UUID:
    """Record the start of a command. Commit this at once, so that a run that is killed stays "running"."""
    run_id = uuid4()
    conn.execute(insert(Run).values(id=run_id, command=redacted(command), settings=dict(settings)))
    return run_id


def finish_run(conn: Connection, run_id: UUID, outcome: RunOutcome, counts: Mapping[str, Any]) -> None:
    """Record the outcome of a run and its counts."""
    values = {"outcome": outcome.value, "counts": dict(counts), "finished_at": func.clock_timestamp()}
    conn.execute(update(Run).where(Run.id == run_id).values(values))


def plan_tasks(conn: Connection, planned: Sequence[PlannedTask], run_id: UUID | None = None) -> int:
    """Record planned tasks with their scenes; return the number of new and reopened ones.

    A known task keeps its state (the same key is never done twice). A superseded one is set back to planned
    and has to be done again, because the cube holds the tile of its successor.
    """
    if not planned:
        return 0
    scene_ids = _know_scenes(conn, {_scene_key(scene): scene for task in planned for scene in task.scenes})
    count = select(func.count()).select_from(Task).where(Task.state == TaskState.PLANNED.value)
    before = conn.execute(count).scalar_one()
    statement = insert(Task)
    again = {"state": TaskState.PLANNED.value, "superseded_by": None, "survey_id": None, "reason": None}
    faults = {"failed_item": None, "failed_asset": None, "failed_href": None}
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["key"],
            set_=again | faults | {"run_id": statement.excluded.run_id, "updated_at": func.now()},
            where=Task.state == TaskState.SUPERSEDED.value,
        ),
        [
            {
                "key": task.key,
                "region": task.region,
                "tile": task.tile,
                "season": task.season,
                "kind": task.kind.value,
                "model_digest": task.model_digest,
                "config_digest": task.config_digest,
                "choices": task.choices,
                "run_id": run_id,
            }
            for task in planned
        ],
    )
    links = [{"task_key": t.key, "scene_id": scene_ids[_scene_key(s)]} for t in planned for s in t.scenes]
    if links:
        conn.execute(insert(TaskScene).on_conflict_do_nothing(), links)
    return int(conn.execute(count).scalar_one() - before)


def set_state(
    conn: Connection,
    key: UUID,
    state: TaskState,
    *,
    reason: str | None = None,
    fault: Fault | None = None,
    run_id: UUID | None = None,
) -> None:
    """Set a task to written, empty (with a reason) or failed (with a reason and the fault).

    Tasks become done and superseded only with a survey (`recording.record_survey`), and a task that is done
    stays done. Raises StorageError otherwise, and for an unknown key.
    """
    if state in (TaskState.DONE, TaskState.SUPERSEDED):
        raise StorageError(
            f"Task {key} cannot be set to {state}: record its survey, or that of its successor."
        )
    fault = fault or Fault()
    values: dict[str, Any] = {
        "state": state.value,
        "reason": reason and redacted(reason),
        "failed_item": fault.item,
        "failed_asset": fault.asset,
        "failed_href": fault.href and storable(fault.href),
        "survey_id": None,
        "superseded_by": None,
        "updated_at": func.now(),
    }
    if run_id is not None:
        values["run_id"] = run_id
    unfinished = update(Task).where(Task.key == key, Task.state != TaskState.DONE.value)
    if conn.execute(unfinished.values(values)).rowcount == 0:
        known = "is done already" if task_states(conn, [key]) else "is not in the ledger"
        raise StorageError(f"Task {key} {known} and cannot become {state}. Plan it first, or reopen it.")


def reopen(conn: Connection, keys: Iterable[UUID]) -> None:
    """Set tasks of any state back to planned, to repeat failed ones or tiles that the cube lost."""
    statement = text(
        "UPDATE task SET state = 'planned', reason = NULL, failed_item = NULL, failed_asset = NULL, "
        "failed_href = NULL, survey_id = NULL, superseded_by = NULL, updated_at = now() WHERE key "
        "= ANY(:keys)"
    )
    conn.execute(statement, {"keys": list(keys)})


def complete(conn: Connection, keys: Sequence[UUID], survey_id: UUID) -> None:
    """Mark tasks as done with their survey; finished tasks that they replace become superseded."""
    replaced = text(
        "UPDATE task AS old SET state = 'superseded', superseded_by = new.key, updated_at = now() "
        "FROM task AS new "
        "WHERE new.key = ANY(:keys) AND old.key <> ALL(:keys) AND old.state IN "
        "('written','done','empty','failed') "
        "AND (old.region, old.tile, old.season, old.kind) = (new.region, new.tile, new.season, new.kind)"
    )
    done = text(
        "UPDATE task SET state = 'done', survey_id = :survey, superseded_by = NULL, reason = NULL, "
        "failed_item = NULL, failed_asset = NULL, failed_href = NULL, updated_at = now() "
        "WHERE key = ANY(:keys) AND (state <> 'done' OR survey_id IS DISTINCT FROM :survey)"
    )
    conn.execute(replaced, {"keys": list(keys)})
    conn.execute(done, {"keys": list(keys), "survey": survey_id})


def task_states(conn: Connection, keys: Iterable[UUID]) -> dict[UUID, TaskState]:
    """State of each known key; unknown ones are left out."""
    query = text("SELECT key, state FROM task WHERE key = ANY(:keys)")
    return {row.key: TaskState(row.state) for row in conn.execute(query, {"keys": list(keys)})}


def tasks(
    conn: Connection,
    region: str | None = None,
    season: int | None = None,
    states: Iterable[TaskState] = (),
    kind: SurveyKind | None = None,
) -> list[TaskRow]:
    """Tasks of a region, season, states and kind (all where not given), ordered by season and tile."""
    query = select(Task.__table__).order_by(Task.season, Task.tile, Task.created_at, Task.key)
    if region is not None:
        query = query.where(Task.region == region)
    if season is not None:
        query = query.where(Task.season == season)
    if kind is not None:
        query = query.where(Task.kind == kind.value)
    wanted = [state.value for state in states]
    if wanted:
        query = query.where(Task.state.in_(wanted))
    return [_task_row(dict(row)) for row in conn.execute(query).mappings()]


def scenes_of(conn: Connection, key: UUID) -> list[FrozenScene]:
    """The frozen scene list of a task, ordered by time."""
    query = (
        select(*(getattr(Scene, column.name) for column in fields(FrozenScene)))
        .join(TaskScene, TaskScene.scene_id == Scene.id)
        .where(TaskScene.task_key == key)
        .order_by(Scene.taken_at, Scene.collection, Scene.item_id)
    )
    return [FrozenScene(*row) for row in conn.execute(query)]


def frozen(
    conn: Connection, region: str, season: int, kind: SurveyKind = SurveyKind.MODEL
) -> tuple[list[FrozenScene], Choices]:
    """All frozen scenes of the current tasks of a region and season, and the choices of each cell."""
    standing = (
        Task.region == region,
        Task.season == season,
        Task.kind == kind.value,
        Task.state != TaskState.SUPERSEDED.value,
    )
    columns = (getattr(Scene, column.name) for column in fields(FrozenScene))
    scenes = (
        select(*columns)
        .where(
            Scene.id.in_(
                select(TaskScene.scene_id).join(Task, Task.key == TaskScene.task_key).where(*standing)
            )
        )
        .order_by(Scene.taken_at, Scene.collection, Scene.item_id)
    )
    choices: dict[str, Mapping[str, Sequence[str]]] = {}
    for row in conn.execute(select(Task.choices).where(*standing).order_by(Task.updated_at, Task.key)):
        choices |= row.choices
    return [FrozenScene(*row) for row in conn.execute(scenes)], choices


def _scene_key(scene: FrozenScene) -> tuple[str, str, str]:
    return scene.collection, scene.item_id, scene.baseline


def _know_scenes(
    conn: Connection, scenes: Mapping[tuple[str, str, str], FrozenScene]
) -> dict[tuple[str, str, str], int]:
    if not scenes:
        return {}
    columns = [column.name for column in fields(FrozenScene) if column.name != "item"]
    rows = [
        {c: getattr(scene, c) for c in columns}
        | {"href": scene.href and storable(scene.href), "item": dict(scene.item)}
        for scene in scenes.values()
    ]
    conn.execute(insert(Scene).on_conflict_do_nothing(), rows)
    query = text(
        "SELECT id, collection, item_id, baseline FROM scene JOIN unnest(:collections ::text[], "
        ":items ::text[], "
        ":baselines ::text[]) AS wanted(collection, item_id, baseline) USING (collection, item_id, baseline)"
    )
    keys = list(zip(*scenes, strict=True))
    found = conn.execute(
        query, {"collections": list(keys[0]), "items": list(keys[1]), "baselines": list(keys[2])}
    )
    return {(row.collection, row.item_id, row.baseline): row.id for row in found}


def _task_row(row: Mapping[str, Any]) -> TaskRow:
    fault = Fault(row["failed_item"], row["failed_asset"], row["failed_href"])
    return TaskRow(
        key=row["key"],
        region=row["region"],
        tile=row["tile"],
        season=row["season"],
        kind=SurveyKind(row["kind"]),
        model_digest=row["model_digest"],
        config_digest=row["config_digest"],
        state=TaskState(row["state"]),
        reason=row["reason"],
        fault=None if fault == Fault() else fault,
        run_id=row["run_id"],
        survey_id=row["survey_id"],
        superseded_by=row["superseded_by"],
        updated_at=row["updated_at"],
    )
