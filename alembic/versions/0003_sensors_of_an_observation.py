"""Record by which sensors each lake was seen.

Revision 0003. Rows that are there already keep null: they were recorded by versions that needed all sensors,
or come from an inventory. The views in `alembic/sql/sensors` have the new column as their last one.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from alembic import op
from storage.views import read_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
VIEWS = ("lake_area_history", "lake_latest")
#: the views that depend on `VIEWS`, dropped in this order before them
DEPENDENT = ("served.lake_trend", "lake_trend")


def upgrade() -> None:
    op.add_column("lake_observation", sa.Column("sensors", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_lake_observation_sensors"), "lake_observation", "sensors <> ''")
    for name in VIEWS:
        _run(f"sensors/{name}")
        _run(f"sensors/served/{name}")


def downgrade() -> None:
    for name in (*DEPENDENT, *(f"served.{name}" for name in VIEWS), *VIEWS):
        op.execute(f"DROP VIEW {name}")
    op.drop_column("lake_observation", "sensors")
    for name in VIEWS:
        _run(name)
        _run(f"served/{name}")
    for name in reversed(DEPENDENT):
        _run(name.replace(".", "/"))


def _run(name: str) -> None:
    """Execute a file of `alembic/sql`, with per cent signs escaped for the driver."""
    op.get_bind().exec_driver_sql(read_sql(SQL / f"{name}.sql").replace("%", "%%"))
