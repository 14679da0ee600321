"""Lakes, observations, lineage, flags and verdicts, with the rules the database itself holds.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from alembic import op

revision = "0002"
down_revision = "0001"
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
TABLES = ("lake", "lake_observation", "lake_lineage", "review_flag", "review_verdict")


def upgrade() -> None:
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
        Column("perimeter_m", sa.DOUBLE_PRECISION(), nullable=True),
        Column("seen_share", sa.DOUBLE_PRECISION(), nullable=True),
        Column("first_day", sa.Date(), nullable=True),
        Column("last_day", sa.Date(), nullable=True),
        Column("probability", sa.DOUBLE_PRECISION(), nullable=True),
        Column("elevation_m", sa.DOUBLE_PRECISION(), nullable=True),
        sa.CheckConstraint("(outcome = 'water') = (geom IS NOT NULL)", name=op.f("ck_lake_observation_geom")),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lake_observation")),
        sa.UniqueConstraint("lake_id", "survey_id", name=op.f("uq_lake_observation_lake_id_survey_id")),
    )
    op.create_index(op.f("ix_lake_observation_geom"), "lake_observation", ["geom"], postgresql_using="gist")
    op.create_index(op.f("ix_lake_observation_season"), "lake_observation", ["season"])
    op.create_index(op.f("ix_lake_observation_survey_id"), "lake_observation", ["survey_id"])
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


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
