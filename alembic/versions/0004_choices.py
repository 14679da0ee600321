"""What a scene is, in columns of its own, and the order in which a task's cells use their scenes.

Revision 0004, after 0003.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FACTS = {"platform": "text", "relative_orbit": "integer", "orbit_state": "text"}


def upgrade() -> None:
    for name, kind in FACTS.items():
        op.execute(f"ALTER TABLE scene ADD COLUMN {name} {kind}")
        # items frozen before say it in their properties
        key = name if name == "platform" else f"sat:{name}"
        op.execute(f"UPDATE scene SET {name} = (item -> 'properties' ->> '{key}')::{kind}")
    op.execute("ALTER TABLE task ADD COLUMN choices jsonb NOT NULL DEFAULT '{}'")
    op.execute(
        "CREATE TRIGGER choices_kept BEFORE UPDATE OF choices ON task "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER choices_kept ON task")
    op.execute("ALTER TABLE task DROP COLUMN choices")
    for name in FACTS:
        op.execute(f"ALTER TABLE scene DROP COLUMN {name}")
