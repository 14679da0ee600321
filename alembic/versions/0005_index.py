"""Surveys and tasks of the index baseline, kept apart from the model's.

Revision 0005, after 0004.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SURVEY_SHOWN = """
CREATE VIEW survey_shown AS
SELECT s.id, s.region, s.season, s.kind, s.source, s.digest, s.run_id, s.created_at
FROM survey s
WHERE s.superseded_by IS NULL AND (s.kind <> 'index' OR NOT EXISTS (
    SELECT FROM survey better
    WHERE better.superseded_by IS NULL AND better.kind <> 'index'
        AND (better.region, better.season) = (s.region, s.season)
))
"""

LAKE_CURRENT = """
CREATE VIEW lake_current AS
SELECT DISTINCT ON (o.lake_id, o.season) o.id AS observation_id, o.lake_id, l.code, o.survey_id, s.region,
    o.season, s.kind, s.source, o.outcome, o.reason, o.area_m2, o.sigma_m2, o.perimeter_m, o.seen_share,
    o.first_day, o.last_day, o.probability, o.elevation_m, o.geom
FROM lake_observation o
JOIN {shown}
JOIN lake l ON l.id = o.lake_id
ORDER BY o.lake_id, o.season, {first}o.outcome = 'not observed', s.kind = 'inventory',
    o.seen_share DESC NULLS LAST, s.id
"""

REVIEW_QUEUE = """
CREATE VIEW review_queue AS
SELECT f.id AS flag_id, f.survey_id, s.region, s.season, {kind}f.tile, f.lake_id, l.code AS lake_code, f.kind,
    f.explained, f.score, f.geom, f.detail, f.created_at, v.verdict, v.by, v.note, v.at
FROM review_flag f
JOIN {shown}
LEFT JOIN lake l ON l.id = f.lake_id
LEFT JOIN LATERAL (
    SELECT verdict, by, note, at FROM review_verdict WHERE flag_id = f.id ORDER BY id DESC LIMIT 1
) AS v ON true
"""

COMMENTS = {
    "survey_shown": "Surveys that count: current ones, an index''s where region and season have no other",
    "lake_current": "One row a lake and season: the current word, this system''s before an inventory''s, "
    "an observation before a not observed, an index''s after all others",
    "review_queue": "Flags of surveys that count with the latest verdict (null = open)",
}
COMMENTS_BEFORE = {
    "lake_current": "One row a lake and season: the current word, this system''s before an inventory''s, "
    "an observation before a not observed",
    "review_queue": "Flags of current surveys with the latest verdict (null = open)",
}
# Rows that the schema before cannot hold: table, and which of its rows hang on an index's survey or task.
BEYOND = {
    "review_verdict": "flag_id IN (SELECT f.id FROM review_flag f JOIN survey s ON s.id = f.survey_id "
    "WHERE s.kind = 'index')",
    "review_flag": "survey_id IN (SELECT id FROM survey WHERE kind = 'index')",
    "lake_lineage": "survey_id IN (SELECT id FROM survey WHERE kind = 'index')",
    "lake_observation": "survey_id IN (SELECT id FROM survey WHERE kind = 'index')",
    "task_scene": "task_key IN (SELECT key FROM task WHERE kind = 'index')",
    "task": "kind = 'index'",
    "survey": "kind = 'index'",
}


def upgrade() -> None:
    _drop_views("lake_current", "review_queue")
    _survey_kinds("'model', 'inventory', 'index'")
    op.execute(
        "CREATE UNIQUE INDEX uq_survey_current_index ON survey (region, season) "
        "WHERE superseded_by IS NULL AND kind = 'index'"
    )
    op.execute("ALTER TABLE task ADD COLUMN kind text NOT NULL DEFAULT 'model'")
    op.execute("ALTER TABLE task ALTER COLUMN kind DROP DEFAULT")
    op.execute("ALTER TABLE task ADD CONSTRAINT ck_task_kind CHECK (kind IN ('model', 'index'))")
    _done_once("region, tile, season, kind")
    _belongs_to_survey("survey_id, region, season, kind", "id, region, season, kind")
    op.execute(
        "CREATE TRIGGER kind_kept BEFORE UPDATE OF kind ON task FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(SURVEY_SHOWN)
    shown = "survey_shown s ON s.id = {}.survey_id"
    op.execute(LAKE_CURRENT.format(shown=shown.format("o"), first="s.kind = 'index', "))
    op.execute(REVIEW_QUEUE.format(shown=shown.format("f"), kind="s.kind AS survey_kind, "))
    _comment(COMMENTS)


def downgrade() -> None:
    _drop_views("lake_current", "review_queue", "survey_shown")
    for table in BEYOND:
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for table, rows in BEYOND.items():
        op.execute(f"DELETE FROM {table} WHERE {rows}")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in BEYOND:
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    op.execute("DROP TRIGGER kind_kept ON task")
    _belongs_to_survey("survey_id, season", "id, season")
    _done_once("region, tile, season")
    op.execute("ALTER TABLE task DROP COLUMN kind")
    op.execute("DROP INDEX uq_survey_current_index")
    _survey_kinds("'model', 'inventory'")
    shown = "survey s ON s.id = {}.survey_id AND s.superseded_by IS NULL"
    op.execute(LAKE_CURRENT.format(shown=shown.format("o"), first=""))
    op.execute(REVIEW_QUEUE.format(shown=shown.format("f"), kind=""))
    _comment(COMMENTS_BEFORE)


def _drop_views(*views: str) -> None:
    for view in views:
        op.execute(f"DROP VIEW {view}")


def _comment(comments: dict[str, str]) -> None:
    for view, comment in comments.items():
        op.execute(f"COMMENT ON VIEW {view} IS '{comment}'")


def _survey_kinds(kinds: str) -> None:
    op.execute("ALTER TABLE survey DROP CONSTRAINT ck_survey_kind")
    op.execute(f"ALTER TABLE survey ADD CONSTRAINT ck_survey_kind CHECK (kind IN ({kinds}))")


def _done_once(columns: str) -> None:
    op.execute("DROP INDEX uq_task_done")
    op.execute(f"CREATE UNIQUE INDEX uq_task_done ON task ({columns}) WHERE state = 'done'")


def _belongs_to_survey(columns: str, of_survey: str) -> None:
    op.execute("ALTER TABLE task DROP CONSTRAINT fk_task_survey")
    op.execute(
        f"ALTER TABLE task ADD CONSTRAINT fk_task_survey FOREIGN KEY ({columns}) "
        f"REFERENCES survey ({of_survey})"
    )
