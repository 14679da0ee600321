"""Alerts of unattended runs.

Revision 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = TIMESTAMP(timezone=True)
    op.create_table(
        "alert",
        Column("id", sa.Uuid(), nullable=False),
        Column("key", sa.Text(), nullable=False),
        Column("regions", sa.ARRAY(sa.Text()), nullable=False),
        Column("kind", sa.Text(), nullable=False),
        Column("message", sa.Text(), nullable=False),
        Column("remedy", sa.Text(), nullable=False),
        Column("raised_at", time, server_default=text("now()"), nullable=False),
        Column("sent_at", time),
        Column("acknowledged_at", time),
        Column("acknowledged_by", sa.Text()),
        Column("ended_at", time),
        CheckConstraint(
            "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name=op.f("ck_alert_acknowledged")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
    )
    op.create_index(
        "uq_alert_standing", "alert", ["key"], unique=True, postgresql_where=text("ended_at IS NULL")
    )


def downgrade() -> None:
    op.drop_table("alert")
