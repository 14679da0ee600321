"""One run of a region at a time, and one scheduled run of it for each day.

Revision 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "region_lock",
        Column("region", sa.Text(), nullable=False),
        Column("token", sa.BigInteger(), nullable=False),
        Column("run_id", sa.Uuid(), ForeignKey("run.id", name="fk_region_lock_run_id"), nullable=False),
        Column("machine", sa.Text(), nullable=False),
        Column("process", sa.Integer(), nullable=False),
        Column("taken_at", TIMESTAMP(timezone=True), server_default=text("now()"), nullable=False),
        CheckConstraint("token > 0", name=op.f("ck_region_lock_token")),
        sa.PrimaryKeyConstraint("region", name="pk_region_lock"),
    )
    op.create_table(
        "night",
        Column("region", sa.Text(), nullable=False),
        Column("day", sa.Date(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("final", sa.Boolean(), nullable=False),
        Column("run_id", sa.Uuid(), ForeignKey("run.id", name="fk_night_run_id"), nullable=False),
        Column("outcome", sa.Text(), server_default="running", nullable=False),
        Column(
            "started_at", TIMESTAMP(timezone=True), server_default=text("clock_timestamp()"), nullable=False
        ),
        Column("finished_at", TIMESTAMP(timezone=True)),
        CheckConstraint("outcome IN ('running', 'done', 'failed')", name=op.f("ck_night_outcome")),
        CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_night_season")),
        CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name=op.f("ck_night_finished")),
        sa.PrimaryKeyConstraint("region", "day", "season", name="pk_night"),
    )


def downgrade() -> None:
    op.drop_table("night")
    op.drop_table("region_lock")
