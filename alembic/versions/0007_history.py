"""What a survey was drawn from and told after, inventories, and the views that people query.

Revision 0007, after 0006.

Views: `lake_area_history` (in place of `lake_current`), `lake_latest`, `lake_change_yearly`,
`lake_change_any`, `lake_drainage`, `lake_trend`, `lake_events`, `lake_renamed`; `docs/history.md` has
queries. The verdicts are those of `monitor/change.py`; a test holds that both say the same.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EMPTY = sa.text("'{}'::jsonb")

SURVEY_COLUMNS = {
    "model_digest": "text CONSTRAINT fk_survey_model_digest REFERENCES model (digest)",
    "inventory_id": "uuid CONSTRAINT fk_survey_inventory_id REFERENCES inventory (id)",
    "drawn_from": "jsonb NOT NULL DEFAULT '{}'",
    "content": "text NOT NULL DEFAULT ''",
    "basis": "text NOT NULL DEFAULT ''",
    "suspect": "text CONSTRAINT ck_survey_suspect CHECK (suspect <> '')",
}
SURVEY_RULES = {
    "ck_survey_inventory": "inventory_id IS NULL OR kind = 'inventory'",
    "ck_survey_model": "model_digest IS NULL OR kind <> 'inventory'",
}
OBSERVATION_COLUMNS = {
    "glacier_m": "float8 CONSTRAINT ck_lake_observation_glacier_m "
    "CHECK (glacier_m >= 0 AND glacier_m < 'infinity'::float8)",
    "task_key": "uuid CONSTRAINT fk_lake_observation_task_key REFERENCES task (key)",
    "label": "text CONSTRAINT ck_lake_observation_label CHECK (label <> '')",
    "attributes": "jsonb NOT NULL DEFAULT '{}'",
}

INTERVAL = """CASE WHEN o.area_m2 < 1.96 * o.sigma_m2 THEN 0 ELSE o.area_m2 - 1.96 * o.sigma_m2 END
        AS area_low_m2,
    o.area_m2 + 1.96 * o.sigma_m2 AS area_high_m2, o.sigma_shore_m2, o.sigma_model_m2,"""

LAKE_CURRENT = f"""
CREATE VIEW lake_current AS
SELECT DISTINCT ON (o.lake_id, o.season) o.id AS observation_id, o.lake_id, l.code, o.survey_id, s.region,
    o.season, s.kind, s.source, o.outcome, o.reason, o.area_m2, o.sigma_m2, {INTERVAL} o.perimeter_m,
    o.seen_share, o.first_day, o.last_day, o.probability, o.elevation_m, o.geom
FROM lake_observation o
JOIN survey_shown s ON s.id = o.survey_id
JOIN lake l ON l.id = o.lake_id
ORDER BY o.lake_id, o.season, s.kind = 'index', o.outcome = 'not observed', s.kind = 'inventory',
    o.seen_share DESC NULLS LAST, s.id
"""
LAKE_CURRENT_COMMENT = (
    "One row a lake and season: the current word, this system''s before an inventory''s, "
    "an observation before a not observed, an index''s after all others"
)
AREAS = "95 % interval of the area: area_m2 -/+ 1.96 sigma_m2, not below 0"

SURVEY_SHOWN = """
CREATE OR REPLACE VIEW survey_shown AS
SELECT s.id, s.region, s.season, s.kind, s.source, s.digest, s.run_id, s.created_at{more}
FROM survey s
WHERE s.superseded_by IS NULL AND (s.kind <> 'index' OR NOT EXISTS (
    SELECT FROM survey better
    WHERE better.superseded_by IS NULL AND better.kind <> 'index'
        AND (better.region, better.season) = (s.region, s.season)
))
"""

# Chosen by id first: what is sorted is then as slim as it can be, without outlines of a kilobyte each.
LAKE_AREA_HISTORY = f"""
CREATE VIEW lake_area_history AS
SELECT o.id AS observation_id, best.lake_id, l.code, o.survey_id, s.region, best.season, s.kind, s.source,
    o.outcome, o.reason, o.area_m2, o.sigma_m2, {INTERVAL} o.perimeter_m, o.seen_share, o.first_day,
    o.last_day, o.probability, o.elevation_m, o.glacier_m, o.label, o.attributes, o.task_key, s.model_digest,
    s.suspect, o.geom
FROM (
    SELECT DISTINCT ON (c.lake_id, c.season) c.lake_id, c.season, c.id
    FROM lake_observation c JOIN survey_shown r ON r.id = c.survey_id
    ORDER BY c.lake_id, c.season, r.kind = 'index', c.outcome = 'not observed', r.kind = 'inventory',
        c.seen_share DESC NULLS LAST, r.id
) AS best
JOIN lake_observation o ON o.id = best.id
JOIN survey s ON s.id = o.survey_id
JOIN lake l ON l.id = best.lake_id
"""

# The same choice as `lake_area_history` makes, of the last season that saw the lake.
LAKE_LATEST = f"""
CREATE VIEW lake_latest AS
SELECT best.lake_id, l.code, s.region, best.season, s.kind, s.source, o.outcome, o.area_m2, o.sigma_m2,
    {INTERVAL} o.perimeter_m, o.seen_share, o.first_day, o.last_day, o.elevation_m, o.glacier_m, o.label,
    o.attributes, s.suspect, o.geom
FROM (
    SELECT DISTINCT ON (c.lake_id) c.lake_id, c.season, c.id
    FROM lake_observation c JOIN survey_shown r ON r.id = c.survey_id
    WHERE c.outcome <> 'not observed'
    ORDER BY c.lake_id, c.season DESC, r.kind = 'index', r.kind = 'inventory', c.seen_share DESC NULLS LAST,
        r.id
) AS best
JOIN lake_observation o ON o.id = best.id
JOIN survey s ON s.id = o.survey_id
JOIN lake l ON l.id = best.lake_id
"""

# What the surveys of one region and season say of each lake: this system's word before an inventory's, or
# that of one source alone.
LAKE_SEASON = """
CREATE FUNCTION lake_season(a_region text, a_season integer, a_source text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, outcome text, reason text, area_m2 float8, sigma_m2 float8, seen_share float8,
    first_day date, last_day date, suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 AS $$
    SELECT DISTINCT ON (o.lake_id) o.lake_id, o.outcome, o.reason, o.area_m2, o.sigma_m2, o.seen_share,
        o.first_day, o.last_day, s.suspect IS NOT NULL
    FROM survey s JOIN lake_observation o ON o.survey_id = s.id
    WHERE s.region = a_region AND s.season = a_season AND s.superseded_by IS NULL
        AND CASE WHEN a_source IS NULL THEN s.id IN (SELECT id FROM survey_shown) ELSE s.source = a_source END
    ORDER BY o.lake_id, o.outcome = 'not observed', s.kind = 'inventory', o.seen_share DESC NULLS LAST, s.id
$$
"""

# `monitor/change.py` in SQL. A lake seen in part, or not at all, has no area to compare.
LAKE_CHANGE = """
CREATE FUNCTION lake_change(a_region text, season_from integer, season_to integer,
    source_from text DEFAULT NULL, source_to text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, area_before_m2 float8, area_after_m2 float8, change_m2 float8, sigma_m2 float8,
    detection_limit_m2 float8, change_percent float8, verdict text, day_before date, day_after date,
    suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 AS $$
    WITH event AS MATERIALIZED (
        SELECT e.lake_id, bool_or(e.kind IN ('new', 'reappeared')) AS appeared,
            bool_or(e.kind = 'split') AS split, bool_or(e.kind = 'merged') AS merged
        FROM survey s JOIN lake_lineage e ON e.survey_id = s.id
        WHERE s.region = a_region AND s.superseded_by IS NULL
            AND s.season > season_from AND s.season <= season_to
            AND (s.kind = 'index') = NOT EXISTS (
                SELECT FROM survey t
                WHERE t.superseded_by IS NULL AND t.region = a_region AND t.season = season_to
                    AND t.kind <> 'index' AND (source_to IS NULL OR t.source = source_to)
            )
        GROUP BY e.lake_id
    ), pair AS (
        SELECT lake_id,
            coalesce(CASE WHEN a.outcome = 'dry' THEN 0 WHEN a.outcome = 'water' AND a.seen_share >= 0.9
                THEN a.area_m2 END, CASE WHEN e.appeared THEN 0 END) AS before,
            CASE WHEN b.outcome = 'dry' THEN 0 WHEN b.outcome = 'water' AND b.seen_share >= 0.9
                THEN b.area_m2 END AS after,
            sqrt(coalesce(a.sigma_m2, 0) ^ 2 + coalesce(b.sigma_m2, 0) ^ 2) AS sigma,
            coalesce(b.outcome = 'water', false) AS wet, coalesce(e.split, false) AS split,
            coalesce(e.merged, false) AS merged, a.last_day AS day_before, b.first_day AS day_after,
            coalesce(a.suspect, false) OR coalesce(b.suspect, false) AS suspect
        FROM lake_season(a_region, season_from, source_from) a
        FULL JOIN lake_season(a_region, season_to, source_to) b USING (lake_id)
        LEFT JOIN event e USING (lake_id)
    )
    SELECT lake_id, before, after, after - before,
        CASE WHEN after - before IS NOT NULL THEN sigma END,
        CASE WHEN after - before IS NOT NULL THEN 1.96 * sigma END,
        CASE WHEN before > 0 THEN 100 * (after - before) / before END,
        CASE WHEN split AND before IS NULL AND wet THEN 'split off'
            WHEN merged AND after IS NULL THEN 'merged'
            WHEN before IS NULL OR after IS NULL THEN 'not observed'
            WHEN before = 0 AND wet THEN 'new'
            WHEN before > 0 AND after = 0 THEN 'drained'
            WHEN after - before > 1.96 * sigma THEN 'grown'
            WHEN after - before < -1.96 * sigma THEN 'shrunk'
            ELSE 'no significant change' END,
        day_before, day_after, suspect
    FROM pair
$$
"""

CHANGES = """c.lake_id, l.code, c.area_before_m2, c.area_after_m2, c.change_m2, c.sigma_m2,
c.detection_limit_m2,
    c.change_percent, c.verdict, c.verdict NOT IN ('no significant change', 'not observed') AS significant,
    c.day_before, c.day_after, c.suspect"""

SEASON_PAIR = """
CREATE VIEW season_pair AS
SELECT region, lag(season) OVER (PARTITION BY region, by_index ORDER BY season) AS season_from,
    season AS season_to, by_index
FROM (SELECT DISTINCT region, season, kind = 'index' AS by_index FROM survey_shown) AS surveyed
"""

LAKE_CHANGE_YEARLY = f"""
CREATE VIEW lake_change_yearly AS
SELECT p.region, p.season_from, p.season_to, p.season_to AS season, {CHANGES}
FROM season_pair p
CROSS JOIN LATERAL lake_change(p.region, p.season_from, p.season_to) c
JOIN lake l ON l.id = c.lake_id
WHERE p.season_from IS NOT NULL
"""

LAKE_CHANGE_ANY = f"""
CREATE VIEW lake_change_any AS
SELECT a.region, a.season AS season_from, a.source AS source_from, b.season AS season_to,
    b.source AS source_to, {CHANGES}
FROM survey a
JOIN survey b ON b.region = a.region AND b.superseded_by IS NULL AND (b.kind = 'index') = (a.kind = 'index')
    AND (b.season > a.season OR b.season = a.season AND b.source <> a.source)
CROSS JOIN LATERAL lake_change(a.region, a.season, b.season, a.source, b.source) c
JOIN lake l ON l.id = c.lake_id
WHERE a.superseded_by IS NULL
"""

LAKE_DRAINAGE = """
CREATE VIEW lake_drainage AS
SELECT c.region, c.season_from, c.season_to, c.lake_id, c.code, c.verdict, c.area_before_m2, c.area_after_m2,
    -c.change_m2 AS lost_m2, c.sigma_m2, -c.change_percent AS lost_percent, c.day_before, c.day_after,
    -c.change_m2 / nullif(c.day_after - c.day_before, 0) AS rate_m2_per_day, c.suspect,
    EXISTS (
        SELECT FROM lake_lineage e JOIN survey s ON s.id = e.survey_id
        WHERE e.other_lake_id = c.lake_id AND e.kind = 'split' AND s.region = c.region
            AND s.superseded_by IS NULL AND e.season > c.season_from AND e.season <= c.season_to
    ) AS split
FROM (
    SELECT region, season_from, season_to, lake_id, code, verdict, area_before_m2, area_after_m2, change_m2,
        sigma_m2, detection_limit_m2, change_percent, day_before, day_after, suspect
    FROM lake_change_yearly
    UNION ALL
    SELECT region, season_from, season_to, lake_id, code, verdict, area_before_m2, area_after_m2, change_m2,
        sigma_m2, detection_limit_m2, change_percent, day_before, day_after, suspect
    FROM lake_change_any WHERE season_from = season_to AND day_after > day_before
) AS c
WHERE c.verdict IN ('shrunk', 'drained') AND c.change_percent < -30 AND -c.change_m2 > c.detection_limit_m2
"""

# Theil (1950) and Sen (1968): median of the slopes between all pairs of seasons, and the 95 % interval of
# Kendall's statistic among them, with the ranks that scipy.stats.theilslopes takes.
LAKE_TREND = """
CREATE VIEW lake_trend AS
WITH seen AS (
    SELECT lake_id, count(*) AS seasons, min(season) AS first_season, max(season) AS last_season,
        1.959964 * sqrt(count(*) * (count(*) - 1) * (2 * count(*) + 5) / 18.0) AS spread,
        count(*) * (count(*) - 1) / 2 AS pairs, array_agg(season ORDER BY season) AS seen_in,
        array_agg(CASE WHEN outcome = 'dry' THEN 0 ELSE area_m2 END ORDER BY season) AS area
    FROM lake_area_history
    WHERE suspect IS NULL AND (outcome = 'dry' OR outcome = 'water' AND seen_share >= 0.9)
    GROUP BY lake_id HAVING count(*) > 2
)
SELECT lake_id, l.code, l.region, seasons, first_season, last_season, median AS slope_m2_per_year,
    CASE WHEN seasons > 3 THEN slopes[greatest(round(((pairs - spread) / 2)::numeric)::int, 1)] END
        AS slope_low_m2_per_year,
    CASE WHEN seasons > 3 THEN slopes[least(round(((pairs + spread) / 2)::numeric)::int + 1, pairs)] END
        AS slope_high_m2_per_year
FROM seen
JOIN lake l ON l.id = lake_id
CROSS JOIN LATERAL (
    SELECT array_agg(slope ORDER BY slope) AS slopes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY slope) AS median
    FROM (
        SELECT (area[j] - area[i]) / (seen_in[j] - seen_in[i]) AS slope
        FROM generate_subscripts(seen_in, 1) AS i, generate_subscripts(seen_in, 1) AS j WHERE j > i
    ) AS pair
) AS sorted
"""

LAKE_EVENTS = """
CREATE VIEW lake_events AS
SELECT s.region, e.season, e.kind AS event, e.lake_id, l.code, e.other_lake_id, other.code AS other_code,
    s.kind AS survey_kind, s.source, s.suspect
FROM lake_lineage e
JOIN survey_shown s ON s.id = e.survey_id
JOIN lake l ON l.id = e.lake_id
LEFT JOIN lake other ON other.id = e.other_lake_id
"""

# A lake that no current survey names any more, and what bears its outline now: an earlier season that
# arrived later gave it an older name.
LAKE_RENAMED = """
CREATE VIEW lake_renamed AS
SELECT old.id AS lake_id, now.lake_id AS now_lake_id
FROM lake old
CROSS JOIN LATERAL (
    SELECT c.lake_id
    FROM lake_observation o
    JOIN survey was ON was.id = o.survey_id
    JOIN survey s ON s.superseded_by IS NULL
        AND (s.region, s.season, s.kind) = (was.region, was.season, was.kind)
    JOIN lake_observation c ON c.survey_id = s.id AND c.geom && o.geom AND ST_Intersects(c.geom, o.geom)
    WHERE o.lake_id = old.id AND o.geom IS NOT NULL
    ORDER BY ST_Area(ST_Intersection(c.geom, o.geom)) DESC, o.season DESC, c.lake_id
    LIMIT 1
) AS now
WHERE NOT EXISTS (
    SELECT FROM lake_observation o JOIN survey s ON s.id = o.survey_id
    WHERE o.lake_id = old.id AND s.superseded_by IS NULL
)
"""

# The index walks outward from the point, over all current outlines; lakes are then ranked by true distance.
NEAREST_LAKES = """
CREATE FUNCTION nearest_lakes(longitude float8, latitude float8, how_many integer DEFAULT 10)
RETURNS TABLE (lake_id uuid, code text, distance_m float8, season integer, area_m2 float8, outcome text,
    elevation_m float8, geom geometry)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH near AS MATERIALIZED (
        SELECT o.lake_id, o.geom <-> ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS apart
        FROM lake_observation o
        WHERE EXISTS (SELECT FROM survey s WHERE s.id = o.survey_id AND s.superseded_by IS NULL)
        ORDER BY o.geom <-> ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)
        LIMIT 40 * how_many
    ), lake AS (
        SELECT near.lake_id FROM near GROUP BY near.lake_id ORDER BY min(apart) LIMIT 2 * how_many
    )
    SELECT h.lake_id, h.code,
        ST_Distance(h.geom::geography, ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)::geography),
        h.season, h.area_m2, h.outcome, h.elevation_m, h.geom
    FROM lake CROSS JOIN LATERAL (
        SELECT a.* FROM lake_area_history a
        WHERE a.lake_id = lake.lake_id AND a.outcome = 'water' ORDER BY a.season DESC LIMIT 1
    ) AS h
    ORDER BY 3 LIMIT how_many
$$
"""

VIEWS = {
    "lake_area_history": LAKE_AREA_HISTORY,
    "lake_latest": LAKE_LATEST,
    "season_pair": SEASON_PAIR,
    "lake_change_yearly": LAKE_CHANGE_YEARLY,
    "lake_change_any": LAKE_CHANGE_ANY,
    "lake_drainage": LAKE_DRAINAGE,
    "lake_trend": LAKE_TREND,
    "lake_events": LAKE_EVENTS,
    "lake_renamed": LAKE_RENAMED,
}
COMMENTS = {
    "lake_area_history": LAKE_CURRENT_COMMENT,
    "lake_latest": "One row a lake: what was last seen of it, water or dry",
    "season_pair": "Seasons of a region, each with the one surveyed before it; an index''s among themselves",
    "lake_change_yearly": "Every lake between two surveyed seasons that follow one another",
    "lake_change_any": "Every lake between any two surveys of a region: name season_from, season_to and, "
    "where a season has several, source_from and source_to",
    "lake_drainage": "Outburst candidates: more than 30 % lost, beyond the error; split: other lakes came "
    "off it and hold part of the water",
    "lake_trend": "Robust slope of the area over all seasons seen whole (Theil 1950, Sen 1968), with its "
    "95 % interval from four seasons on",
    "lake_events": "What happened to identities: new, split, merged, drained, reappeared",
    "lake_renamed": "Identities that no current survey bears, and the lake that is now on their place",
}
FUNCTIONS = {
    "lake_season(text, integer, text)": LAKE_SEASON,
    "lake_change(text, integer, integer, text, text)": LAKE_CHANGE,
}


def upgrade() -> None:
    op.create_table(
        "inventory",
        Column("id", sa.Uuid(), nullable=False),
        Column("source", sa.Text(), nullable=False),
        Column("season", sa.Integer(), nullable=False),
        Column("file", sa.Text(), nullable=False),
        Column("digest", sa.Text(), nullable=False),
        Column("mapping", JSONB(), server_default=EMPTY, nullable=False),
        Column("complete", sa.Boolean(), nullable=False),
        Column("pixel_m", sa.DOUBLE_PRECISION(), nullable=False),
        Column("polygons", sa.Integer(), nullable=False),
        Column("repaired", sa.Integer(), nullable=False),
        Column("duplicates", sa.Integer(), nullable=False),
        Column("citation", sa.Text(), nullable=True),
        Column("licence", sa.Text(), nullable=True),
        Column("imported_at", TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source <> '' AND file <> '' AND digest <> ''", name=op.f("ck_inventory_source")),
        sa.CheckConstraint("season BETWEEN 1900 AND 2200", name=op.f("ck_inventory_season")),
        sa.CheckConstraint("pixel_m > 0 AND pixel_m < 'infinity'::float8", name=op.f("ck_inventory_pixel_m")),
        sa.CheckConstraint(
            "polygons > 0 AND repaired BETWEEN 0 AND polygons AND duplicates BETWEEN 0 AND polygons - 1",
            name=op.f("ck_inventory_polygons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory")),
    )
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for name, kind in SURVEY_COLUMNS.items():
        op.execute(f"ALTER TABLE survey ADD COLUMN {name} {kind}")
    for name, rule in SURVEY_RULES.items():
        op.execute(f"ALTER TABLE survey ADD CONSTRAINT {name} CHECK ({rule})")
    # what is known of surveys from before: the model, and the tiles that were done with them
    op.execute(
        "UPDATE survey SET model_digest = digest "
        "WHERE kind <> 'inventory' AND digest IN (SELECT digest FROM model)"
    )
    op.execute(
        """
        UPDATE survey s SET drawn_from = t.tiles FROM (
            SELECT survey_id, jsonb_object_agg(tile, key) AS tiles FROM task
            WHERE survey_id IS NOT NULL GROUP BY survey_id
        ) AS t WHERE t.survey_id = s.id
        """
    )
    for name, kind in OBSERVATION_COLUMNS.items():
        op.execute(f"ALTER TABLE lake_observation ADD COLUMN {name} {kind}")
    op.execute("CREATE INDEX ix_lake_observation_label ON lake_observation (label) WHERE label IS NOT NULL")
    op.execute("DROP INDEX ix_lake_observation_season")  # every question has a survey or a lake beside it
    op.execute(
        "CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON inventory "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER kept_whole BEFORE TRUNCATE ON inventory "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        """
        CREATE TRIGGER drawing_kept
        BEFORE UPDATE OF model_digest, inventory_id, drawn_from, content, suspect ON survey
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
        """
    )
    op.execute("DROP VIEW lake_current")
    op.execute(SURVEY_SHOWN.format(more=", s.model_digest, s.inventory_id, s.suspect"))
    for create in FUNCTIONS.values():
        op.execute(create)
    for name, create in VIEWS.items():
        op.execute(create)
        op.execute(f"COMMENT ON VIEW {name} IS '{COMMENTS[name]}'")
    op.execute(NEAREST_LAKES)
    _say_what_areas_are("lake_area_history")


def downgrade() -> None:
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("DROP FUNCTION nearest_lakes(float8, float8, integer)")
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    # a view loses columns only when it is made anew, and what stands on it with it
    queue = op.get_bind().execute(sa.text("SELECT pg_get_viewdef('review_queue')")).scalar_one()
    comments = {
        view: op.get_bind()
        .execute(sa.text("SELECT obj_description(CAST(:view AS regclass))"), {"view": view})
        .scalar_one()
        for view in ("review_queue", "survey_shown")
    }
    op.execute("DROP VIEW review_queue")
    op.execute("DROP VIEW survey_shown")
    op.execute(SURVEY_SHOWN.format(more=""))
    op.execute(LAKE_CURRENT)
    op.execute(f"COMMENT ON VIEW lake_current IS '{LAKE_CURRENT_COMMENT}'")
    _say_what_areas_are("lake_current")
    op.execute(f"CREATE VIEW review_queue AS {queue}")
    for view, comment in comments.items():
        quoted = comment.replace("'", "''")
        op.execute(f"COMMENT ON VIEW {view} IS '{quoted}'")
    op.execute("DROP TRIGGER drawing_kept ON survey")
    op.execute("CREATE INDEX ix_lake_observation_season ON lake_observation (season)")
    for name in reversed(OBSERVATION_COLUMNS):
        op.execute(f"ALTER TABLE lake_observation DROP COLUMN {name}")
    for name in SURVEY_RULES:
        op.execute(f"ALTER TABLE survey DROP CONSTRAINT {name}")
    for name in reversed(SURVEY_COLUMNS):
        op.execute(f"ALTER TABLE survey DROP COLUMN {name}")
    op.drop_table("inventory")


def _say_what_areas_are(view: str) -> None:
    for end in ("low", "high"):
        op.execute(f"COMMENT ON COLUMN {view}.area_{end}_m2 IS '{AREAS}'")
