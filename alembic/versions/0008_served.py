"""The schema `served`: what `monitor serve` offers, and all that its reader may read.

Revision 0008, after 0007.

Views run with their owner's rights, but functions in them with the reader's: `served.lake_change` says the
same as `lake_change` with its owner's, and only those may call it who are allowed to. Views that have no
outline get the last one of the lake, so that they are maps too. Who may read is not said here: a role belongs
to the server and not to one database (`storage/reader.py`).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from alembic import op
from storage.errors import StorageError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHANGE = """
CREATE FUNCTION served.lake_change(a_region text, season_from integer, season_to integer,
    source_from text DEFAULT NULL, source_to text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, area_before_m2 float8, area_after_m2 float8, change_m2 float8, sigma_m2 float8,
    detection_limit_m2 float8, change_percent float8, verdict text, day_before date, day_after date,
    suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT * FROM {schema}.lake_change(a_region, season_from, season_to, source_from, source_to)
$$
"""

# What a lake looked like when it was last drawn: a drained one has no outline any more. The CASE says
# nothing, but keeps the planner from turning the join round for a filter on the outline: it takes few to pass
# and would ask for all changes again for each (measured: 4 s against 0.3 s).
GEOM = "CASE WHEN outline.lake_id IS NULL THEN outline.geom ELSE outline.geom END AS geom"
OUTLINE = """LEFT JOIN (
    SELECT best.lake_id, o.geom FROM (
        SELECT DISTINCT ON (c.lake_id) c.lake_id, c.id
        FROM lake_observation c JOIN survey_shown r ON r.id = c.survey_id
        WHERE c.outcome = 'water'
        ORDER BY c.lake_id, c.season DESC, r.kind = 'index', r.kind = 'inventory',
            c.seen_share DESC NULLS LAST, r.id
    ) AS best JOIN lake_observation o ON o.id = best.id
) AS outline USING (lake_id)"""

VIEWS = {
    "lake_latest": "SELECT * FROM lake_latest",
    "lake_area_history": "SELECT * FROM lake_area_history",
    "lake_change_yearly": """
        SELECT concat_ws('.', c.lake_id, c.season_to, c.region) AS change_id, c.*, {geom}
        FROM ({changes}) AS c {outline}""",
    # several in one season: those between the days of its surveys
    "lake_drainage": """
        SELECT concat_ws('.', d.lake_id, d.season_from, d.season_to, row_number() OVER (
                PARTITION BY d.region, d.season_from, d.season_to, d.lake_id
                ORDER BY d.day_before, d.day_after, d.area_before_m2, d.area_after_m2
            ), d.region) AS drainage_id, d.*, {geom}
        FROM ({drainages}) AS d {outline}""",
    "lake_trend": "SELECT t.*, {geom} FROM lake_trend t {outline}",
    "review_queue": "SELECT * FROM review_queue",
}
WITH_OUTLINE = ("lake_change_yearly", "lake_drainage", "lake_trend")


def upgrade() -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    _create_schema()
    op.execute("COMMENT ON SCHEMA served IS 'What monitor serve offers to everyone who reaches it'")
    op.execute(CHANGE.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION served.lake_change FROM PUBLIC")
    op.execute("COMMENT ON FUNCTION served.lake_change IS 'lake_change with its owner''s rights'")
    changes, changes_any, drainages = (
        _definition(view).replace("lake_change(", "served.lake_change(")
        for view in ("lake_change_yearly", "lake_change_any", "lake_drainage")
    )
    for name, inner in (("lake_change_yearly", changes), ("lake_change_any", changes_any)):
        drainages = drainages.replace(f"FROM {name}", f"FROM ({inner}) AS {name}")
    for name, select in VIEWS.items():
        parts = {"changes": changes, "drainages": drainages, "geom": GEOM, "outline": OUTLINE}
        op.execute(f"CREATE VIEW served.{name} AS {select.format(**parts)}")
        _comment(name)


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW served.{name}")
    op.execute("DROP FUNCTION served.lake_change")
    op.execute("DROP SCHEMA served")


def _create_schema() -> None:
    """Where the user may not, a database administrator makes the schema beforehand."""
    query = (
        "SELECT to_regnamespace('served') IS NOT NULL, quote_ident(current_database()), "
        "quote_ident(current_user)"
    )
    known, database, user = op.get_bind().execute(sa.text(query)).one()
    if known:
        return
    try:
        op.execute("CREATE SCHEMA served")
    except ProgrammingError as error:
        raise StorageError(
            f"The user {user} may not make the schema `served` in the database {database}: {error.orig}. "
            f"Have a database administrator run `CREATE SCHEMA served AUTHORIZATION {user};` there, then run "
            "`monitor db upgrade` again."
        ) from error


def _definition(view: str) -> str:
    """A view's query as the database tells it."""
    query = sa.text("SELECT pg_get_viewdef(CAST(:view AS regclass))")
    told: str = op.get_bind().execute(query, {"view": view}).scalar_one()
    return told.strip().removesuffix(";")


def _comment(name: str) -> None:
    query = sa.text("SELECT obj_description(CAST(:view AS regclass))")
    comment: str = op.get_bind().execute(query, {"view": name}).scalar_one()
    comment += ", on the lake's last outline" if name in WITH_OUTLINE else ""
    quoted = comment.replace("'", "''")
    op.execute(f"COMMENT ON VIEW served.{name} IS '{quoted}'")
