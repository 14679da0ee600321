"""Nothing is deleted or rewritten, and the views people query.

Revision 0003, after 0002.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Rows of these are facts once written; those of FOLLOWED change only in the columns that follow the work.
KEPT = ("lake", "lake_observation", "lake_lineage", "review_flag", "review_verdict")
FOLLOWED = {
    "survey": "id, region, season, kind, source, digest, run_id, created_at",
    "task": "key, region, tile, season, model_digest, config_digest, created_at",
    "run": "id, command, settings, started_at",
    "model": "digest, name, version, manifest, registered_at",
}

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the history keeps what it was told', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation',
            HINT = 'Record a new survey, verdict or task; views show the current one.';
END
$$
"""

LAKE_CURRENT = """
CREATE VIEW lake_current AS
SELECT DISTINCT ON (o.lake_id, o.season) o.id AS observation_id, o.lake_id, l.code, o.survey_id, s.region,
    o.season, s.kind, s.source, o.outcome, o.reason, o.area_m2, o.sigma_m2, o.perimeter_m, o.seen_share,
    o.first_day, o.last_day, o.probability, o.elevation_m, o.geom
FROM lake_observation o
JOIN survey s ON s.id = o.survey_id AND s.superseded_by IS NULL
JOIN lake l ON l.id = o.lake_id
ORDER BY o.lake_id, o.season, o.outcome = 'not observed', s.kind = 'inventory',
    o.seen_share DESC NULLS LAST, s.id
"""

REVIEW_QUEUE = """
CREATE VIEW review_queue AS
SELECT f.id AS flag_id, f.survey_id, s.region, s.season, f.tile, f.lake_id, l.code AS lake_code, f.kind,
    f.explained, f.score, f.geom, f.detail, f.created_at, v.verdict, v.by, v.note, v.at
FROM review_flag f
JOIN survey s ON s.id = f.survey_id AND s.superseded_by IS NULL
LEFT JOIN lake l ON l.id = f.lake_id
LEFT JOIN LATERAL (
    SELECT verdict, by, note, at FROM review_verdict WHERE flag_id = f.id ORDER BY id DESC LIMIT 1
) AS v ON true
"""

COMMENTS = {
    "lake_current": "One row a lake and season: the current word, this system''s before an inventory''s, "
    "an observation before a not observed",
    "review_queue": "Flags of current surveys with the latest verdict (null = open)",
}


def upgrade() -> None:
    op.execute(REFUSE)
    for table in KEPT:
        _refuse("kept", "UPDATE OR DELETE", table, "ROW")
    for table, columns in FOLLOWED.items():
        _refuse("kept", f"DELETE OR UPDATE OF {columns}", table, "ROW")
    for table in (*KEPT, *FOLLOWED):
        _refuse("kept_whole", "TRUNCATE", table, "STATEMENT")
    op.execute(LAKE_CURRENT)
    op.execute(REVIEW_QUEUE)
    for view, comment in COMMENTS.items():
        op.execute(f"COMMENT ON VIEW {view} IS '{comment}'")


def downgrade() -> None:
    for view in reversed(COMMENTS):
        op.execute(f"DROP VIEW {view}")
    for table in (*KEPT, *FOLLOWED):
        op.execute(f"DROP TRIGGER kept ON {table}")
        op.execute(f"DROP TRIGGER kept_whole ON {table}")
    op.execute("DROP FUNCTION refuse_change()")


def _refuse(name: str, events: str, table: str, each: str) -> None:
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {events} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
    )
