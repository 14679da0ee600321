"""Create the lake history: tables, append-only triggers, views and the schema `served`.

Revision 0001. Triggers, views and functions are created from the files in `alembic/sql`, in the order below.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.exc import ProgrammingError

from alembic import op
from storage.errors import StorageError
from storage.views import read_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
TABLES = (
    "inventory",
    "model",
    "region",
    "run",
    "scene",
    "tile",
    "lake",
    "survey",
    "lake_lineage",
    "review_flag",
    "task",
    "lake_observation",
    "review_verdict",
    "task_scene",
)
#: in order of dependency
VIEWS = (
    "survey_shown",
    "lake_area_history",
    "lake_latest",
    "lake_outline",
    "season_pair",
    "lake_change_yearly",
    "lake_change_any",
    "lake_drainage",
    "lake_trend",
    "lake_events",
    "lake_renamed",
    "review_queue",
)
FUNCTIONS = {
    "lake_season": "text, integer, text",
    "lake_change": "text, integer, integer, text, text",
    "nearest_lakes": "float8, float8, integer",
}
SERVED = (
    "lake_change",
    "lake_latest",
    "lake_area_history",
    "lake_change_yearly",
    "lake_drainage",
    "lake_trend",
    "review_queue",
)

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


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    _create_tables()
    _run("append_only")
    for name in ("survey_shown", "lake_season", "lake_change", *VIEWS[1:], "nearest_lakes"):
        _run(name)
    _create_served()
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for name in SERVED:
        _run(f"served/{name}", schema=schema)


def downgrade() -> None:
    for name in reversed(SERVED[1:]):
        op.execute(f"DROP VIEW served.{name}")
    op.execute("DROP FUNCTION served.lake_change")
    op.execute("DROP SCHEMA served")
    op.execute(f"DROP FUNCTION nearest_lakes({FUNCTIONS['nearest_lakes']})")
    for name in reversed(VIEWS[1:]):
        op.execute(f"DROP VIEW {name}")
    for name in ("lake_change", "lake_season"):
        op.execute(f"DROP FUNCTION {name}({FUNCTIONS[name]})")
    op.execute("DROP VIEW survey_shown")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table} CASCADE")
    op.execute("DROP FUNCTION refuse_change()")


def _run(name: str, **names: str) -> None:
    """Execute a file of `alembic/sql`, with per cent signs escaped for the driver."""
    op.get_bind().exec_driver_sql(read_sql(SQL / f"{name}.sql", **names).replace("%", "%%"))


def _create_served() -> None:
    """Create the schema `served`. Where the user lacks the right, an administrator creates it beforehand."""
    query = (
        "SELECT to_regnamespace('served') IS NOT NULL, quote_ident(current_database()), "
        "quote_ident(current_user)"
    )
    known, database, user = op.get_bind().execute(sa.text(query)).one()
    if not known:
        try:
            op.execute("CREATE SCHEMA served")
        except ProgrammingError as error:
            raise StorageError(
                f"The user {user} may not create the schema `served` in the database {database}: "
                f"{error.orig}. Have a database administrator run `CREATE SCHEMA served AUTHORIZATION "
                f"{user};` there, then run `monitor db upgrade` again."
            ) from error
    op.execute("COMMENT ON SCHEMA served IS 'Read-only views that monitor serve publishes'")


def _create_tables() -> None:
    op.create_table(
        "inventory",
        Column("id", sa.Uuid(), nullable=False),
        Column("source", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("file", sa.Text(), nullable=False),
        Column("digest", sa.Text(), nullable=False),
        Column("mapping", JSON, server_default=EMPTY, nullable=False),
        Column("complete", sa.Boolean(), nullable=False),
        Column("pixel_m", sa.DOUBLE_PRECISION(), nullable=False),
        Column("polygons", sa.Integer(), nullable=False),
        Column("repaired", sa.Integer(), nullable=False),
        Column("duplicates", sa.Integer(), nullable=False),
        Column("citation", sa.Text(), nullable=True),
        Column("licence", sa.Text(), nullable=True),
        Column("imported_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("pixel_m > 0 AND pixel_m < 'infinity'::float8", name=op.f("ck_inventory_pixel_m")),
        sa.CheckConstraint("source <> '' AND file <> '' AND digest <> ''", name=op.f("ck_inventory_source")),
        sa.CheckConstraint(
            "polygons > 0 AND repaired BETWEEN 0 AND polygons AND duplicates BETWEEN 0 AND polygons - 1",
            name=op.f("ck_inventory_polygons"),
        ),
        sa.CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_inventory_season")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory")),
    )
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
        "scene",
        Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        Column("collection", sa.Text(), nullable=False),
        Column("item_id", sa.Text(), nullable=False),
        Column("baseline", sa.Text(), server_default="", nullable=False),
        Column("taken_at", TIME, nullable=True),
        Column("platform", sa.Text(), nullable=True),
        Column("relative_orbit", sa.Integer(), nullable=True),
        Column("orbit_state", sa.Text(), nullable=True),
        Column("href", sa.Text(), nullable=True),
        Column("item", JSON, server_default=EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scene")),
        sa.UniqueConstraint(
            "collection", "item_id", "baseline", name=op.f("uq_scene_collection_item_id_baseline")
        ),
    )
    op.create_index(op.f("ix_scene_taken_at"), "scene", ["taken_at"])
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
        "lake",
        Column("id", sa.Uuid(), nullable=False),
        Column("region", sa.Text(), nullable=False),
        Column("code", sa.Text(), nullable=False),
        Column("minted_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("code <> ''", name=op.f("ck_lake_code")),
        sa.ForeignKeyConstraint(["region"], ["region.name"], name=op.f("fk_lake_region")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lake")),
    )
    op.create_index(op.f("ix_lake_code"), "lake", ["code"])
    op.create_index(op.f("ix_lake_region"), "lake", ["region"])
    op.create_table(
        "survey",
        Column("id", sa.Uuid(), nullable=False),
        Column("region", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("kind", sa.Text(), nullable=False),
        Column("source", sa.Text(), nullable=False),
        Column("digest", sa.Text(), nullable=False),
        Column("model_digest", sa.Text(), nullable=True),
        Column("inventory_id", sa.Uuid(), nullable=True),
        Column("drawn_from", JSON, server_default=EMPTY, nullable=False),
        Column("content_digest", sa.Text(), server_default="", nullable=False),
        Column("prior_digest", sa.Text(), server_default="", nullable=False),
        Column("suspect", sa.Text(), nullable=True),
        Column("run_id", sa.Uuid(), nullable=True),
        Column("superseded_by", sa.Uuid(), nullable=True),
        Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("inventory_id IS NULL OR kind = 'inventory'", name=op.f("ck_survey_inventory")),
        sa.CheckConstraint("kind IN ('model', 'inventory', 'index')", name=op.f("ck_survey_kind")),
        sa.CheckConstraint("model_digest IS NULL OR kind <> 'inventory'", name=op.f("ck_survey_model")),
        sa.CheckConstraint("source <> '' AND digest <> ''", name=op.f("ck_survey_source")),
        sa.CheckConstraint("suspect <> ''", name=op.f("ck_survey_suspect")),
        sa.CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_survey_season")),
        sa.CheckConstraint("superseded_by <> id", name=op.f("ck_survey_superseded_by")),
        sa.ForeignKeyConstraint(["inventory_id"], ["inventory.id"], name=op.f("fk_survey_inventory_id")),
        sa.ForeignKeyConstraint(["model_digest"], ["model.digest"], name=op.f("fk_survey_model_digest")),
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
        "uq_survey_current_index",
        "survey",
        ["region", "season"],
        unique=True,
        postgresql_where=sa.text("superseded_by IS NULL AND kind = 'index'"),
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
        "lake_lineage",
        Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        Column("survey_id", sa.Uuid(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("kind", sa.Text(), nullable=False),
        Column("lake_id", sa.Uuid(), nullable=False),
        Column("other_lake_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(kind IN ('split', 'merged')) = (other_lake_id IS NOT NULL)", name=op.f("ck_lake_lineage_other")
        ),
        sa.CheckConstraint(
            "kind IN ('new', 'split', 'merged', 'drained', 'reappeared')", name=op.f("ck_lake_lineage_kind")
        ),
        sa.CheckConstraint("other_lake_id <> lake_id", name=op.f("ck_lake_lineage_itself")),
        sa.ForeignKeyConstraint(["lake_id"], ["lake.id"], name=op.f("fk_lake_lineage_lake_id")),
        sa.ForeignKeyConstraint(["other_lake_id"], ["lake.id"], name=op.f("fk_lake_lineage_other_lake_id")),
        sa.ForeignKeyConstraint(
            ["survey_id", "season"],
            ["survey.id", "survey.season"],
            name=op.f("fk_lake_lineage_survey_id_season"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lake_lineage")),
        sa.UniqueConstraint(
            "survey_id",
            "kind",
            "lake_id",
            "other_lake_id",
            name=op.f("uq_lake_lineage_survey_id_kind_lake_id_other_lake_id"),
        ),
    )
    op.create_index(op.f("ix_lake_lineage_lake_id"), "lake_lineage", ["lake_id"])
    op.create_index(op.f("ix_lake_lineage_other_lake_id"), "lake_lineage", ["other_lake_id"])
    op.create_index(
        "uq_lake_lineage_alone",
        "lake_lineage",
        ["survey_id", "kind", "lake_id"],
        unique=True,
        postgresql_where=sa.text("other_lake_id IS NULL"),
    )
    op.create_table(
        "review_flag",
        Column("id", sa.Uuid(), nullable=False),
        Column("survey_id", sa.Uuid(), nullable=False),
        Column("tile", sa.Text(), nullable=True),
        Column("lake_id", sa.Uuid(), nullable=True),
        Column("kind", sa.Text(), nullable=False),
        Column("explained", sa.Boolean(), nullable=False),
        Column("score", sa.DOUBLE_PRECISION(), nullable=False),
        Column("geom", POLYGON, nullable=False),
        Column("detail", JSON, server_default=EMPTY, nullable=False),
        Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("kind <> ''", name=op.f("ck_review_flag_kind")),
        sa.CheckConstraint(
            "score > '-infinity'::float8 AND score < 'infinity'::float8", name=op.f("ck_review_flag_score")
        ),
        sa.CheckConstraint(SOUND, name=op.f("ck_review_flag_geom_sound")),
        sa.ForeignKeyConstraint(["lake_id"], ["lake.id"], name=op.f("fk_review_flag_lake_id")),
        sa.ForeignKeyConstraint(["survey_id"], ["survey.id"], name=op.f("fk_review_flag_survey_id")),
        sa.ForeignKeyConstraint(["tile"], ["tile.name"], name=op.f("fk_review_flag_tile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_flag")),
    )
    op.create_index(op.f("ix_review_flag_geom"), "review_flag", ["geom"], postgresql_using="gist")
    op.create_index(op.f("ix_review_flag_survey_id"), "review_flag", ["survey_id"])
    op.create_table(
        "task",
        Column("key", sa.Uuid(), nullable=False),
        Column("region", sa.Text(), nullable=False),
        Column("tile", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("kind", sa.Text(), nullable=False),
        Column("model_digest", sa.Text(), nullable=False),
        Column("config_digest", sa.Text(), nullable=False),
        Column("choices", JSON, server_default=EMPTY, nullable=False),
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
        sa.CheckConstraint("kind IN ('model', 'index')", name=op.f("ck_task_kind")),
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
            ["survey_id", "region", "season", "kind"],
            ["survey.id", "survey.region", "survey.season", "survey.kind"],
            name="fk_task_survey",
        ),
        sa.ForeignKeyConstraint(["tile"], ["tile.name"], name=op.f("fk_task_tile")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_task")),
    )
    op.create_index(op.f("ix_task_region_season_state"), "task", ["region", "season", "state"])
    op.create_index(
        "uq_task_done",
        "task",
        ["region", "tile", "season", "kind"],
        unique=True,
        postgresql_where=sa.text("state = 'done'"),
    )
    op.create_table(
        "lake_observation",
        Column("id", sa.Uuid(), nullable=False),
        Column("lake_id", sa.Uuid(), nullable=False),
        Column("survey_id", sa.Uuid(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("outcome", sa.Text(), nullable=False),
        Column("reason", sa.Text(), nullable=True),
        Column("geom", MULTIPOLYGON, nullable=True),
        Column(
            "area_m2",
            sa.DOUBLE_PRECISION(),
            sa.Computed("ST_Area(geom::geography)", persisted=True),
            nullable=True,
        ),
        Column("sigma_m2", sa.DOUBLE_PRECISION(), nullable=True),
        Column("sigma_shore_m2", sa.DOUBLE_PRECISION(), nullable=True),
        Column("sigma_model_m2", sa.DOUBLE_PRECISION(), nullable=True),
        Column("perimeter_m", sa.DOUBLE_PRECISION(), nullable=True),
        Column("seen_share", sa.DOUBLE_PRECISION(), nullable=True),
        Column("first_day", sa.Date(), nullable=True),
        Column("last_day", sa.Date(), nullable=True),
        Column("probability", sa.DOUBLE_PRECISION(), nullable=True),
        Column("elevation_m", sa.DOUBLE_PRECISION(), nullable=True),
        Column("glacier_m", sa.DOUBLE_PRECISION(), nullable=True),
        Column("task_key", sa.Uuid(), nullable=True),
        Column("label", sa.Text(), nullable=True),
        Column("attributes", JSON, server_default=EMPTY, nullable=False),
        sa.CheckConstraint("(outcome = 'water') = (geom IS NOT NULL)", name=op.f("ck_lake_observation_geom")),
        sa.CheckConstraint(
            "glacier_m >= 0 AND glacier_m < 'infinity'::float8", name=op.f("ck_lake_observation_glacier_m")
        ),
        sa.CheckConstraint("label <> ''", name=op.f("ck_lake_observation_label")),
        sa.CheckConstraint(
            "outcome = 'water' OR coalesce(reason, '') <> ''", name=op.f("ck_lake_observation_reason")
        ),
        sa.CheckConstraint(
            "outcome IN ('water', 'dry', 'not observed')", name=op.f("ck_lake_observation_outcome")
        ),
        sa.CheckConstraint(
            "perimeter_m >= 0 AND perimeter_m < 'infinity'::float8",
            name=op.f("ck_lake_observation_perimeter_m"),
        ),
        sa.CheckConstraint(
            "sigma_m2 >= 0 AND sigma_m2 < 'infinity'::float8", name=op.f("ck_lake_observation_sigma_m2")
        ),
        sa.CheckConstraint(
            "sigma_model_m2 >= 0 AND sigma_model_m2 < 'infinity'::float8",
            name=op.f("ck_lake_observation_sigma_model_m2"),
        ),
        sa.CheckConstraint(
            "sigma_shore_m2 >= 0 AND sigma_shore_m2 < 'infinity'::float8",
            name=op.f("ck_lake_observation_sigma_shore_m2"),
        ),
        sa.CheckConstraint(SOUND, name=op.f("ck_lake_observation_geom_sound")),
        sa.CheckConstraint("elevation_m BETWEEN -500 AND 9000", name=op.f("ck_lake_observation_elevation_m")),
        sa.CheckConstraint("first_day <= last_day", name=op.f("ck_lake_observation_days")),
        sa.CheckConstraint(
            "probability >= 0 AND probability <= 1", name=op.f("ck_lake_observation_probability")
        ),
        sa.CheckConstraint(
            "seen_share >= 0 AND seen_share <= 1", name=op.f("ck_lake_observation_seen_share")
        ),
        sa.ForeignKeyConstraint(["lake_id"], ["lake.id"], name=op.f("fk_lake_observation_lake_id")),
        sa.ForeignKeyConstraint(
            ["survey_id", "season"],
            ["survey.id", "survey.season"],
            name=op.f("fk_lake_observation_survey_id_season"),
        ),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("fk_lake_observation_task_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lake_observation")),
        sa.UniqueConstraint("lake_id", "survey_id", name=op.f("uq_lake_observation_lake_id_survey_id")),
    )
    op.create_index(op.f("ix_lake_observation_geom"), "lake_observation", ["geom"], postgresql_using="gist")
    op.create_index(
        op.f("ix_lake_observation_label"),
        "lake_observation",
        ["label"],
        postgresql_where=sa.text("label IS NOT NULL"),
    )
    op.create_index(op.f("ix_lake_observation_survey_id"), "lake_observation", ["survey_id"])
    op.create_table(
        "review_verdict",
        Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        Column("flag_id", sa.Uuid(), nullable=False),
        Column("verdict", sa.Text(), nullable=False),
        Column("by", sa.Text(), nullable=False),
        Column("note", sa.Text(), server_default="", nullable=False),
        Column("at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("by <> ''", name=op.f("ck_review_verdict_by")),
        sa.CheckConstraint(
            "verdict IN ('agree', 'disagree', 'unsure')", name=op.f("ck_review_verdict_verdict")
        ),
        sa.ForeignKeyConstraint(["flag_id"], ["review_flag.id"], name=op.f("fk_review_verdict_flag_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_verdict")),
    )
    op.create_index(op.f("ix_review_verdict_flag_id"), "review_verdict", ["flag_id"])
    op.create_table(
        "task_scene",
        Column("task_key", sa.Uuid(), nullable=False),
        Column("scene_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["scene_id"], ["scene.id"], name=op.f("fk_task_scene_scene_id")),
        sa.ForeignKeyConstraint(["task_key"], ["task.key"], name=op.f("fk_task_scene_task_key")),
        sa.PrimaryKeyConstraint("task_key", "scene_id", name=op.f("pk_task_scene")),
    )
    op.create_index(op.f("ix_task_scene_scene_id"), "task_scene", ["scene_id"])
