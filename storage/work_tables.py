"""Tables of the work: runs, regions, tiles, models, scenes and tasks.

The tables of the results are in `storage/tables.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.codes import ModelState, RunOutcome, SurveyKind, TaskState
from storage.rules import MULTIPOLYGON, POLYGON, Base, one_of, season_check, sound

__all__ = ["Alert", "Model", "Night", "Region", "RegionLock", "Run", "Scene", "Task", "TaskScene", "Tile"]


class Run(Base):
    """A command that was started by a person or the scheduler, with its settings and outcome."""

    __tablename__ = "run"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    command: Mapped[str]
    settings: Mapped[dict[str, Any]]
    outcome: Mapped[str] = mapped_column(server_default="running")
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("outcome", RunOutcome),
        CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name="finished"),
    )


class RegionLock(Base):
    """The last run that took a region, so that one run at a time records its seasons (`storage/locks.py`).

    `token` grows with every run; a run that has lost the region is refused by its token.
    """

    __tablename__ = "region_lock"
    region: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id"))
    machine: Mapped[str]
    process: Mapped[int]
    taken_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (CheckConstraint("token > 0", name="token"),)


class Night(Base):
    """A scheduled run of a region: one for each day of its schedule, on whatever machine it is started.

    `season` is the season that it brought up to date; `final` is true for the last run of a season, which is
    repeated on the next day if it failed.
    """

    __tablename__ = "night"
    region: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    season: Mapped[int] = mapped_column(primary_key=True)
    final: Mapped[bool]
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id"))
    outcome: Mapped[str] = mapped_column(server_default="running")
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        one_of("outcome", RunOutcome),
        season_check(),
        CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name="finished"),
    )


class Alert(Base):
    """A condition that needs a person, from when it was first found until it has ended.

    `key` names the condition; it stands once at a time, and a condition that returns is another alert.
    `regions` are those of the workspace that found it, which alone ends it.
    """

    __tablename__ = "alert"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str]
    regions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    kind: Mapped[str]
    message: Mapped[str]
    remedy: Mapped[str]
    raised_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="acknowledged"),
        Index("uq_alert_standing", "key", unique=True, postgresql_where=text("ended_at IS NULL")),
    )


class Region(Base):
    """A named area whose lakes are surveyed together, season by season."""

    __tablename__ = "region"
    name: Mapped[str] = mapped_column(primary_key=True)
    geom: Mapped[Any | None] = mapped_column(MULTIPOLYGON)
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (CheckConstraint("name <> ''", name="name"), sound("geom"))


class Tile(Base):
    """A square of the global 10 m grid of a UTM zone; `row`, `col`: global pixel of its upper-left corner."""

    __tablename__ = "tile"
    name: Mapped[str] = mapped_column(primary_key=True)
    epsg: Mapped[int]
    size: Mapped[int]
    row: Mapped[int]
    col: Mapped[int]
    geom: Mapped[Any] = mapped_column(POLYGON)
    __table_args__ = (
        UniqueConstraint("epsg", "size", "row", "col"),
        CheckConstraint("epsg BETWEEN 32601 AND 32660 OR epsg BETWEEN 32701 AND 32760", name="epsg"),
        CheckConstraint(
            'size > 0 AND "row" >= 0 AND col >= 0 AND mod("row", size) = 0 AND mod(col, size) = 0',
            name="grid",
        ),
        sound("geom"),
        Index(None, "geom", postgresql_using="gist"),
    )


class Model(Base):
    """A registered model, identified by the digest of its weights and manifest; one per name is active."""

    __tablename__ = "model"
    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[str]
    manifest: Mapped[dict[str, Any]]
    state: Mapped[str]
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        one_of("state", ModelState),
        Index("uq_model_active", "name", unique=True, postgresql_where=text("state = 'active'")),
    )


class Scene(Base):
    """A satellite scene (STAC item) as frozen in a task. Each processing baseline is another scene."""

    __tablename__ = "scene"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    collection: Mapped[str]
    item_id: Mapped[str]
    baseline: Mapped[str] = mapped_column(server_default="")
    taken_at: Mapped[datetime | None]
    platform: Mapped[str | None]
    relative_orbit: Mapped[int | None]
    orbit_state: Mapped[str | None]
    href: Mapped[str | None]
    item: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    __table_args__ = (UniqueConstraint("collection", "item_id", "baseline"), Index(None, "taken_at"))


class Task(Base):
    """A tile in a season with its frozen scene list, model and configuration; `key` is the uuid5 of these.

    `kind` is that of its survey: tasks of a model and of an index do not supersede one another. `choices`
    holds, for each cell of the global grid, the item ids of the scenes used, best first.
    """

    __tablename__ = "task"
    key: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(ForeignKey("region.name"))
    tile: Mapped[str] = mapped_column(ForeignKey("tile.name"))
    season: Mapped[int]
    kind: Mapped[str]
    model_digest: Mapped[str] = mapped_column(ForeignKey("model.digest"))
    config_digest: Mapped[str]
    choices: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    state: Mapped[str] = mapped_column(server_default="planned")
    reason: Mapped[str | None]
    failed_item: Mapped[str | None]
    failed_asset: Mapped[str | None]
    failed_href: Mapped[str | None]
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"))
    survey_id: Mapped[UUID | None]
    superseded_by: Mapped[UUID | None] = mapped_column(ForeignKey("task.key"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        one_of("kind", (SurveyKind.MODEL, SurveyKind.INDEX)),
        one_of("state", TaskState),
        season_check(),
        CheckConstraint("state NOT IN ('empty', 'failed') OR coalesce(reason, '') <> ''", name="reason"),
        CheckConstraint(
            "state IN ('failed', 'superseded') OR coalesce(failed_item, failed_asset, failed_href) IS NULL",
            name="failed",
        ),
        CheckConstraint("state <> 'done' OR survey_id IS NOT NULL", name="done"),
        CheckConstraint("survey_id IS NULL OR state IN ('done', 'superseded')", name="survey"),
        CheckConstraint("(state = 'superseded') = (superseded_by IS NOT NULL)", name="superseded"),
        CheckConstraint("superseded_by <> key", name="superseded_by"),
        ForeignKeyConstraint(
            ["survey_id", "region", "season", "kind"],
            ["survey.id", "survey.region", "survey.season", "survey.kind"],
            name="fk_task_survey",
        ),
        Index(None, "region", "season", "state"),
        Index(
            "uq_task_done",
            "region",
            "tile",
            "season",
            "kind",
            unique=True,
            postgresql_where=text("state = 'done'"),
        ),
    )


class TaskScene(Base):
    """The frozen scene list of a task."""

    __tablename__ = "task_scene"
    task_key: Mapped[UUID] = mapped_column(ForeignKey("task.key"), primary_key=True)
    scene_id: Mapped[int] = mapped_column(ForeignKey("scene.id"), primary_key=True)
    __table_args__ = (Index(None, "scene_id"),)
