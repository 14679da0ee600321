"""Tables of the lake history with their constraints.

Rows are never deleted or rewritten: a better survey supersedes an earlier one and both stay. Triggers that
enforce this, and the views for queries, are in the migrations (`alembic`), which build the database;
`alembic check` and a test verify that these models agree with them. Geometries are in degrees (EPSG:4326).
The tables of runs and tasks are in `storage/work_tables.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.codes import LineageKind, Outcome, SurveyKind, VerdictKind
from storage.rules import MULTIPOLYGON, POLYGON, Base, number, one_of, season_check, share, sound
from storage.work_tables import Alert, Model, Night, Region, RegionLock, Run, Scene, Task, TaskScene, Tile

__all__ = [
    "Alert",
    "Base",
    "Inventory",
    "Lake",
    "LakeLineage",
    "LakeObservation",
    "Model",
    "Night",
    "Region",
    "RegionLock",
    "ReviewFlag",
    "ReviewVerdict",
    "Run",
    "Scene",
    "Survey",
    "Task",
    "TaskScene",
    "Tile",
]


class Inventory(Base):
    """An imported inventory, that is a published map of lakes: its file and the mapping of its columns.

    `complete`: it maps every lake of the region, so that a known lake that is missing in it was dry.
    """

    __tablename__ = "inventory"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    season: Mapped[int]
    file: Mapped[str]
    digest: Mapped[str]
    mapping: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    complete: Mapped[bool]
    pixel_m: Mapped[float]
    polygons: Mapped[int]
    repaired: Mapped[int]
    duplicates: Mapped[int]
    citation: Mapped[str | None]
    licence: Mapped[str | None]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        CheckConstraint("source <> '' AND file <> '' AND digest <> ''", name="source"),
        season_check(),
        CheckConstraint("pixel_m > 0 AND pixel_m < 'infinity'::float8", name="pixel_m"),
        CheckConstraint(
            "polygons > 0 AND repaired BETWEEN 0 AND polygons AND duplicates BETWEEN 0 AND polygons - 1",
            name="polygons",
        ),
    )


class Survey(Base):
    """A map of a region's lakes in one season. `superseded_by` null = current.

    `drawn_from` names the task of each tile, `content_digest` is the digest of its rows, `prior_digest` that
    of the prior surveys, from which identities were decided; `suspect` is why its losses are not trusted.
    """

    __tablename__ = "survey"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(ForeignKey("region.name"))
    season: Mapped[int]
    kind: Mapped[str]
    source: Mapped[str]
    digest: Mapped[str]
    model_digest: Mapped[str | None] = mapped_column(ForeignKey("model.digest"))
    inventory_id: Mapped[UUID | None] = mapped_column(ForeignKey("inventory.id"))
    drawn_from: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    content_digest: Mapped[str] = mapped_column(server_default="")
    prior_digest: Mapped[str] = mapped_column(server_default="")
    suspect: Mapped[str | None]
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"))
    superseded_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        one_of("kind", SurveyKind),
        season_check(),
        CheckConstraint("source <> '' AND digest <> ''", name="source"),
        CheckConstraint("superseded_by <> id", name="superseded_by"),
        CheckConstraint("suspect <> ''", name="suspect"),
        CheckConstraint("inventory_id IS NULL OR kind = 'inventory'", name="inventory"),
        CheckConstraint("model_digest IS NULL OR kind <> 'inventory'", name="model"),
        UniqueConstraint("id", "season"),
        UniqueConstraint("id", "region", "season", "kind"),
        # Only a survey of the same region, season and kind can supersede another. Deferred, because the old
        # row is updated before the new one is inserted.
        ForeignKeyConstraint(
            ["superseded_by", "region", "season", "kind"],
            ["survey.id", "survey.region", "survey.season", "survey.kind"],
            name="fk_survey_superseded_by",
            deferrable=True,
            initially="DEFERRED",
        ),
        Index(
            "uq_survey_current_model",
            "region",
            "season",
            unique=True,
            postgresql_where=text("superseded_by IS NULL AND kind = 'model'"),
        ),
        Index(
            "uq_survey_current_index",
            "region",
            "season",
            unique=True,
            postgresql_where=text("superseded_by IS NULL AND kind = 'index'"),
        ),
        Index(
            "uq_survey_current_inventory",
            "region",
            "season",
            "source",
            unique=True,
            postgresql_where=text("superseded_by IS NULL AND kind = 'inventory'"),
        ),
    )


class Lake(Base):
    """Identity of a lake, assigned once for ever. `code` (GLxxxxxxExxxxxN) is a label and not unique."""

    __tablename__ = "lake"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(ForeignKey("region.name"))
    code: Mapped[str]
    minted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (Index(None, "code"), Index(None, "region"), CheckConstraint("code <> ''", name="code"))


class LakeObservation(Base):
    """Observation of one lake by one survey. Areas are geodesic square metres; only water has a geometry.

    `sigma_m2` is the standard deviation of the area; `sigma_shore_m2` and `sigma_model_m2` are its parts from
    the shoreline and the model, null where they are unknown. `glacier_m` is the distance to the nearest
    glacier outline, 0 where they touch; `task_key` is the task of the tile with the lake's representative
    point; `label` is the id in an inventory and `attributes` are its other columns. `sensors` names the
    sensors from which most of the lake was mapped, such as "S2L2A+S1+DEM"; null where they are unknown.
    """

    __tablename__ = "lake_observation"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    lake_id: Mapped[UUID] = mapped_column(ForeignKey("lake.id"))
    survey_id: Mapped[UUID]
    season: Mapped[int]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    geom: Mapped[Any | None] = mapped_column(MULTIPOLYGON)
    area_m2: Mapped[float | None] = mapped_column(Computed("ST_Area(geom::geography)", persisted=True))
    sigma_m2: Mapped[float | None]
    sigma_shore_m2: Mapped[float | None]
    sigma_model_m2: Mapped[float | None]
    perimeter_m: Mapped[float | None]
    seen_share: Mapped[float | None]
    first_day: Mapped[date | None]
    last_day: Mapped[date | None]
    probability: Mapped[float | None]
    elevation_m: Mapped[float | None]
    glacier_m: Mapped[float | None]
    task_key: Mapped[UUID | None] = mapped_column(ForeignKey("task.key"))
    label: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    sensors: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("lake_id", "survey_id"),
        ForeignKeyConstraint(["survey_id", "season"], ["survey.id", "survey.season"]),
        one_of("outcome", Outcome),
        CheckConstraint("outcome = 'water' OR coalesce(reason, '') <> ''", name="reason"),
        CheckConstraint("(outcome = 'water') = (geom IS NOT NULL)", name="geom"),
        CheckConstraint("first_day <= last_day", name="days"),
        CheckConstraint("elevation_m BETWEEN -500 AND 9000", name="elevation_m"),
        sound("geom"),
        number("sigma_m2"),
        number("sigma_shore_m2"),
        number("sigma_model_m2"),
        number("perimeter_m"),
        number("glacier_m"),
        CheckConstraint("label <> ''", name="label"),
        CheckConstraint("sensors <> ''", name="sensors"),
        share("seen_share"),
        share("probability"),
        Index(None, "survey_id"),
        Index(None, "geom", postgresql_using="gist"),
        Index(None, "label", postgresql_where=text("label IS NOT NULL")),
    )


class LakeLineage(Base):
    """Event of a lake's identity. split: lake = child, other = parent; merged: lake ends in other."""

    __tablename__ = "lake_lineage"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    survey_id: Mapped[UUID]
    season: Mapped[int]
    kind: Mapped[str]
    lake_id: Mapped[UUID] = mapped_column(ForeignKey("lake.id"))
    other_lake_id: Mapped[UUID | None] = mapped_column(ForeignKey("lake.id"))
    __table_args__ = (
        ForeignKeyConstraint(["survey_id", "season"], ["survey.id", "survey.season"]),
        one_of("kind", LineageKind),
        CheckConstraint("(kind IN ('split', 'merged')) = (other_lake_id IS NOT NULL)", name="other"),
        CheckConstraint("other_lake_id <> lake_id", name="itself"),
        UniqueConstraint("survey_id", "kind", "lake_id", "other_lake_id"),
        Index(
            "uq_lake_lineage_alone",
            "survey_id",
            "kind",
            "lake_id",
            unique=True,
            postgresql_where=text("other_lake_id IS NULL"),
        ),
        Index(None, "lake_id"),
        Index(None, "other_lake_id"),
    )


class ReviewFlag(Base):
    """A place to be inspected by a person, and why. `geom` is the footprint of the chip that shows it."""

    __tablename__ = "review_flag"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    survey_id: Mapped[UUID] = mapped_column(ForeignKey("survey.id"))
    tile: Mapped[str | None] = mapped_column(ForeignKey("tile.name"))
    lake_id: Mapped[UUID | None] = mapped_column(ForeignKey("lake.id"))
    kind: Mapped[str]
    explained: Mapped[bool]
    score: Mapped[float]
    geom: Mapped[Any] = mapped_column(POLYGON)
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        CheckConstraint("kind <> ''", name="kind"),
        CheckConstraint("score > '-infinity'::float8 AND score < 'infinity'::float8", name="score"),
        sound("geom"),
        Index(None, "survey_id"),
        Index(None, "geom", postgresql_using="gist"),
    )


class ReviewVerdict(Base):
    """A person's verdict on a flag. Append-only: a correction is another row; the latest counts."""

    __tablename__ = "review_verdict"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    flag_id: Mapped[UUID] = mapped_column(ForeignKey("review_flag.id"))
    verdict: Mapped[str]
    by: Mapped[str]
    note: Mapped[str] = mapped_column(server_default="")
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        one_of("verdict", VerdictKind),
        CheckConstraint("by <> ''", name="by"),
        Index(None, "flag_id"),
    )
