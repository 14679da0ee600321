-- `compare` of `monitor/lakes/change.py` in SQL; a test verifies that both agree. Without `season_from`, each
-- lake is compared with its last observation before `season_to` (`lake_before`). A lake that was observed in
-- part or not at all has no area to compare. The area of a lake that split off since counts for the lake from
-- which it split, and that of a lake that merged since for the lake into which it merged.
CREATE FUNCTION lake_change(a_region text, season_from integer, season_to integer,
    source_from text DEFAULT NULL, source_to text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, season_before integer, area_before_m2 float8, area_after_m2 float8,
    change_m2 float8, sigma_m2 float8, detection_limit_m2 float8, change_percent float8, verdict text,
    day_before date, day_after date, suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 AS $$
    WITH a AS MATERIALIZED (
        SELECT lake_id, season_from AS season, outcome, area_m2, sigma_m2, seen_share, last_day, suspect
        FROM lake_season(a_region, season_from, source_from)
        UNION ALL
        SELECT * FROM lake_before(a_region, CASE WHEN season_from IS NULL THEN season_to END)
    ), b AS MATERIALIZED (
        SELECT *, CASE WHEN outcome = 'dry' THEN 0
            WHEN outcome = 'water' AND seen_share >= :seen_whole THEN area_m2 END AS area
        FROM lake_season(a_region, season_to, source_to)
    ), event AS MATERIALIZED (
        SELECT e.lake_id, e.other_lake_id, e.kind, max(e.season) AS season
        FROM survey s JOIN lake_lineage e ON e.survey_id = s.id
        WHERE s.region = a_region AND s.superseded_by IS NULL
            AND (season_from IS NULL OR s.season > season_from) AND s.season <= season_to
            AND (s.kind = 'index') = NOT EXISTS (
                SELECT FROM survey t
                WHERE t.superseded_by IS NULL AND t.region = a_region AND t.season = season_to
                    AND t.kind <> 'index' AND (source_to IS NULL OR t.source = source_to)
            )
        GROUP BY e.lake_id, e.other_lake_id, e.kind
    ), since AS (
        SELECT e.lake_id, bool_or(e.kind IN ('new', 'reappeared')) AS appeared,
            bool_or(e.kind = 'split') AS split, bool_or(e.kind = 'merged') AS merged
        FROM event e LEFT JOIN a USING (lake_id) WHERE e.season > coalesce(a.season, 0)
        GROUP BY e.lake_id
    ), part AS (
        SELECT e.other_lake_id AS lake_id,
            CASE WHEN bool_and(b.area IS NOT NULL) THEN sum(b.area) END AS area,
            sum(coalesce(b.sigma_m2, 0) ^ 2) AS variance
        FROM event e
        LEFT JOIN a parent ON parent.lake_id = e.other_lake_id
        LEFT JOIN a child ON child.lake_id = e.lake_id
        LEFT JOIN b ON b.lake_id = e.lake_id
        WHERE e.kind = 'split' AND e.season > coalesce(parent.season, 0)
            AND coalesce(child.season >= e.season, true)
            AND NOT (b.lake_id IS NULL AND EXISTS (
                SELECT FROM event m WHERE m.kind = 'merged' AND m.lake_id = e.lake_id AND m.season >= e.season
            ))
        GROUP BY e.other_lake_id
    ), added AS (
        SELECT e.other_lake_id AS lake_id,
            sum(CASE WHEN own.outcome = 'water' THEN own.area_m2 ELSE 0 END) AS area,
            sum(coalesce(own.sigma_m2, 0) ^ 2) AS variance
        FROM event e
        JOIN a own ON own.lake_id = e.lake_id AND own.season < e.season
        LEFT JOIN a target ON target.lake_id = e.other_lake_id
        LEFT JOIN b ON b.lake_id = e.lake_id
        WHERE e.kind = 'merged' AND e.season > coalesce(target.season, 0) AND b.area IS NULL
        GROUP BY e.other_lake_id
    ), pair AS (
        SELECT lake_id, a.season AS season_before,
            coalesce(CASE WHEN a.outcome = 'dry' THEN 0
                WHEN a.outcome = 'water' AND (a.seen_share >= :seen_whole OR b.area = 0) THEN a.area_m2 END,
                CASE WHEN s.appeared THEN 0 END) AS own_before,
            b.area AS own_after, part.lake_id IS NOT NULL AS parted, part.area AS part, added.area AS added,
            sqrt(coalesce(a.sigma_m2, 0) ^ 2 + coalesce(b.sigma_m2, 0) ^ 2 + coalesce(part.variance, 0)
                + coalesce(added.variance, 0)) AS sigma,
            coalesce(b.outcome = 'water', false) AS wet, coalesce(s.split, false) AS split,
            coalesce(s.merged, false) AS merged, a.last_day AS day_before, b.first_day AS day_after,
            coalesce(a.suspect, false) OR coalesce(b.suspect, false) AS suspect
        FROM a FULL JOIN b USING (lake_id)
        LEFT JOIN since s USING (lake_id)
        LEFT JOIN part USING (lake_id)
        LEFT JOIN added USING (lake_id)
    ), whole AS (
        SELECT *, own_before + coalesce(added, 0) AS before,
            own_after + CASE WHEN parted THEN part ELSE 0 END AS after
        FROM pair
    )
    SELECT lake_id, season_before, before, after, after - before,
        CASE WHEN after - before IS NOT NULL THEN sigma END,
        CASE WHEN after - before IS NOT NULL THEN :z95 * sigma END,
        CASE WHEN before > 0 THEN 100 * (after - before) / before END,
        CASE WHEN split AND own_before IS NULL AND wet THEN 'split off'
            WHEN merged AND own_after IS NULL THEN 'merged'
            WHEN before IS NULL OR after IS NULL THEN 'not observed'
            WHEN before = 0 AND wet THEN 'new'
            WHEN before > 0 AND after = 0 THEN 'drained'
            WHEN after - before > :z95 * sigma THEN 'grown'
            WHEN after - before < -:z95 * sigma THEN 'shrunk'
            ELSE 'no significant change' END,
        day_before, day_after, suspect
    FROM whole
$$;
