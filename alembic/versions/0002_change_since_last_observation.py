"""Compare each lake with its last observation, and count the area of lakes that split off or merged.

Revision 0002. The views and functions in `alembic/sql/since` replace those of the same names.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from alembic import op
from storage.views import read_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
CHANGE = "text, integer, integer, text, text"
VIEWS = ("lake_change_yearly", "lake_change_any", "lake_drainage")
SERVED = ("lake_change_yearly", "lake_drainage")


def upgrade() -> None:
    _drop()
    _run("since/lake_before")
    _create("since/")


def downgrade() -> None:
    _drop()
    op.execute("DROP FUNCTION lake_before(text, integer)")
    _create("")


def _drop() -> None:
    for name in reversed(SERVED):
        op.execute(f"DROP VIEW served.{name}")
    op.execute(f"DROP FUNCTION served.lake_change({CHANGE})")
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    op.execute(f"DROP FUNCTION lake_change({CHANGE})")


def _create(folder: str) -> None:
    for name in ("lake_change", *VIEWS):
        _run(name if name == "lake_change_any" else f"{folder}{name}")
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for name in ("lake_change", *SERVED):
        _run(f"{folder}served/{name}", schema=schema)


def _run(name: str, **names: str) -> None:
    """Execute a file of `alembic/sql`, with per cent signs escaped for the driver."""
    op.get_bind().exec_driver_sql(read_sql(SQL / f"{name}.sql", **names).replace("%", "%%"))
