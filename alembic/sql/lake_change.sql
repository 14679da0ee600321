-- `monitor/lakes/change.py` in SQL; a test verifies that both agree. A lake that was observed in part or not
-- at all has no area to compare.
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
            coalesce(CASE WHEN a.outcome = 'dry' THEN 0 WHEN a.outcome = 'water' AND a.seen_share >= :seen_whole
                THEN a.area_m2 END, CASE WHEN e.appeared THEN 0 END) AS before,
            CASE WHEN b.outcome = 'dry' THEN 0 WHEN b.outcome = 'water' AND b.seen_share >= :seen_whole
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
        CASE WHEN after - before IS NOT NULL THEN :z95 * sigma END,
        CASE WHEN before > 0 THEN 100 * (after - before) / before END,
        CASE WHEN split AND before IS NULL AND wet THEN 'split off'
            WHEN merged AND after IS NULL THEN 'merged'
            WHEN before IS NULL OR after IS NULL THEN 'not observed'
            WHEN before = 0 AND wet THEN 'new'
            WHEN before > 0 AND after = 0 THEN 'drained'
            WHEN after - before > :z95 * sigma THEN 'grown'
            WHEN after - before < -:z95 * sigma THEN 'shrunk'
            ELSE 'no significant change' END,
        day_before, day_after, suspect
    FROM pair
$$;
