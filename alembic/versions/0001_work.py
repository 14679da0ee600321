"""Runs, regions, tiles, models, scenes, surveys and tasks, with the rules the database itself holds.

Revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")
EMPTY = sa.text("'{}'::jsonb")
JSON = JSONB()
TIME = TIMESTAMP(timezone=True)
MULTIPOLYGON = Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)
POLYGON = Geometry("POLYGON", srid=4326, spatial_index=False)
SOUND = (
    "ST_IsValid(geom) AND NOT ST_IsEmpty(geom) AND ST_XMin(geom) >= -180 AND ST_XMax(geom) <= 180 "
    "AND ST_YMin(geom) >= -90 AND ST_YMax(geom) <= 90"
)
TABLES = ("run", "region", "tile", "model", "scene", "survey", "task", "task_scene")


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.create_table(
        "run",
        Column("id", sa.Uuid(), nullable=False),
        Column("command", sa.Text(), nullable=False),
        Column("settings", JSON, nullable=False),
        Column("outcome", sa.Text(), server_default="running", nullable=False),
        Column("counts", JSON, server_default=EMPTY, nullable=False),
        Column("started_at", TIME, server_default=NOW, nullable=False),
        Column("finished_at", TIME, nullable=True),
        sa.CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name=op.f("ck_run_finished")),
        sa.CheckConstraint("outcome IN ('running', 'done', 'failed')", name=op.f("ck_run_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "region",
        Column("name", sa.Text(), nullable=False),
        Column("geom", MULTIPOLYGON, nullable=True),
        Column("settings", JSON, server_default=EMPTY, nullable=False),
        Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_region_name")),
        sa.CheckConstraint(SOUND, name=op.f("ck_region_geom_sound")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_region")),
    )
    op.create_table(
        "tile",
        Column("name", sa.Text(), nullable=False),
        Column("epsg", sa.Integer(), nullable=False),
        Column("size", sa.Integer(), nullable=False),
        Column("row", sa.Integer(), nullable=False),
        Column("col", sa.Integer(), nullable=False),
        Column("geom", POLYGON, nullable=False),
        sa.CheckConstraint(SOUND, name=op.f("ck_tile_geom_sound")),
        sa.CheckConstraint(
            "epsg BETWEEN 32601 AND 32660 OR epsg BETWEEN 32701 AND 32760", name=op.f("ck_tile_epsg")
        ),
        sa.CheckConstraint(
            'size > 0 AND "row" >= 0 AND col >= 0 AND mod("row", size) = 0 AND mod(col, size) = 0',
            name=op.f("ck_tile_grid"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tile")),
        sa.UniqueConstraint("epsg", "size", "row", "col", name=op.f("uq_tile_epsg_size_row_col")),
    )
    op.create_index(op.f("ix_tile_geom"), "tile", ["geom"], postgresql_using="gist")
    op.create_table(
        "model",
        Column("digest", sa.Text(), nullable=False),
        Column("name", sa.Text(), nullable=False),
        Column("version", sa.Text(), nullable=False),
        Column("manifest", JSON, nullable=False),
        Column("state", sa.Text(), nullable=False),
        Column("registered_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("state IN ('candidate', 'active', 'retired')", name=op.f("ck_model_state")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_model")),
    )
    op.create_index(
        "uq_model_active", "model", ["name"], unique=True, postgresql_where=sa.text("state = 'active'")
    )
    op.create_table(
        "scene",
        Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        Column("collection", sa.Text(), nullable=False),
        Column("item_id", sa.Text(), nullable=False),
        Column("baseline", sa.Text(), server_default="", nullable=False),
        Column("taken_at", TIME, nullable=True),
        Column("href", sa.Text(), nullable=True),
        Column("item", JSON, server_default=EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scene")),
        sa.UniqueConstraint(
            "collection", "item_id", "baseline", name=op.f("uq_scene_collection_item_id_baseline")
        ),
    )
    op.create_index(op.f("ix_scene_taken_at"), "scene", ["taken_at"])
    op.create_table(
        "survey",
        Column("id", sa.Uuid(), nullable=False),
        Column("region", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("kind", sa.Text(), nullable=False),
        Column("source", sa.Text(), nullable=False),
        Column("digest", sa.Text(), nullable=False),
        Column("run_id", sa.Uuid(), nullable=True),
        Column("superseded_by", sa.Uuid(), nullable=True),
        Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("kind IN ('model', 'inventory')", name=op.f("ck_survey_kind")),
        sa.CheckConstraint("source <> '' AND digest <> ''", name=op.f("ck_survey_source")),
        sa.CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_survey_season")),
        sa.CheckConstraint("superseded_by <> id", name=op.f("ck_survey_superseded_by")),
        sa.ForeignKeyConstraint(["region"], ["region.name"], name=op.f("fk_survey_region")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_survey_run_id")),
        sa.ForeignKeyConstraint(
            ["superseded_by", "region", "season", "kind"],
            ["survey.id", "survey.region", "survey.season", "survey.kind"],
            name="fk_survey_superseded_by",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey")),
        sa.UniqueConstraint("id", "region", "season", "kind", name=op.f("uq_survey_id_region_season_kind")),
        sa.UniqueConstraint("id", "season", name=op.f("uq_survey_id_season")),
    )
    op.create_index(
        "uq_survey_current_inventory",
        "survey",
        ["region", "season", "source"],
        unique=True,
        postgresql_where=sa.text("superseded_by IS NULL AND kind = 'inventory'"),
    )
    op.create_index(
        "uq_survey_current_model",
        "survey",
        ["region", "season"],
        unique=True,
        postgresql_where=sa.text("superseded_by IS NULL AND kind = 'model'"),
    )
    op.create_table(
        "task",
        Column("key", sa.Uuid(), nullable=False),
        Column("region", sa.Text(), nullable=False),
        Column("tile", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("model_digest", sa.Text(), nullable=False),
        Column("config_digest", sa.Text(), nullable=False),
        Column("state", sa.Text(), server_default="planned", nullable=False),
        Column("reason", sa.Text(), nullable=True),
        Column("failed_item", sa.Text(), nullable=True),
        Column("failed_asset", sa.Text(), nullable=True),
        Column("failed_href", sa.Text(), nullable=True),
        Column("run_id", sa.Uuid(), nullable=True),
        Column("survey_id", sa.Uuid(), nullable=True),
        Column("superseded_by", sa.Uuid(), nullable=True),
        Column("created_at", TIME, server_default=NOW, nullable=False),
        Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "(state = 'superseded') = (superseded_by IS NOT NULL)", name=op.f("ck_task_superseded")
        ),
        sa.CheckConstraint("state <> 'done' OR survey_id IS NOT NULL", name=op.f("ck_task_done")),
        sa.CheckConstraint(
            "state IN ('failed', 'superseded') OR coalesce(failed_item, failed_asset, failed_href) IS NULL",
            name=op.f("ck_task_failed"),
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'written', 'done', 'empty', 'failed', 'superseded')",
            name=op.f("ck_task_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('empty', 'failed') OR coalesce(reason, '') <> ''", name=op.f("ck_task_reason")
        ),
        sa.CheckConstraint(
            "survey_id IS NULL OR state IN ('done', 'superseded')", name=op.f("ck_task_survey")
        ),
        sa.CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_task_season")),
        sa.CheckConstraint("superseded_by <> key", name=op.f("ck_task_superseded_by")),
        sa.ForeignKeyConstraint(["model_digest"], ["model.digest"], name=op.f("fk_task_model_digest")),
        sa.ForeignKeyConstraint(["region"], ["region.name"], name=op.f("fk_task_region")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_task_run_id")),
        sa.ForeignKeyConstraint(["superseded_by"], ["task.key"], name=op.f("fk_task_superseded_by")),
        sa.ForeignKeyConstraint(
            ["survey_id", "season"], ["survey.id", "survey.season"], name="fk_task_survey"
        ),
        sa.ForeignKeyConstraint(["tile"], ["tile.name"], name=op.f("fk_task_tile")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_task")),
    )
    op.create_index(op.f("ix_task_region_season_state"), "task", ["region", "season", "state"])
    op.create_index(
        "uq_task_done",
        "task",
        ["region", "tile", "season"],
        unique=True,
        postgresql_where=sa.text("state = 'done'"),
    )
    op.create_table(
        "task_scene",
        Column("task_key", sa.Uuid(), nullable=False),
        Column("scene_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["scene_id"], ["scene.id"], name=op.f("fk_task_scene_scene_id")),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("fk_task_scene_task_key")),
        sa.PrimaryKeyConstraint("task_key", "scene_id", name=op.f("pk_task_scene")),
    )
    op.create_index(op.f("ix_task_scene_scene_id"), "task_scene", ["scene_id"])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
