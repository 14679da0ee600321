-- `last_observations` of `monitor/lakes/change.py` in SQL; a test verifies that both agree. Lakes are those
-- that surveys of the region have observed; their last observation can be from a neighbouring region.
CREATE FUNCTION lake_before(a_region text, a_season integer)
RETURNS TABLE (lake_id uuid, season integer, outcome text, area_m2 float8, sigma_m2 float8, seen_share float8,
    last_day date, suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 AS $$
    WITH counted AS MATERIALIZED (
        SELECT s.id, s.region, s.season, s.kind, s.suspect FROM survey_shown s
        WHERE s.season < a_season AND (s.kind = 'index') = NOT EXISTS (
            SELECT FROM survey t
            WHERE t.superseded_by IS NULL AND t.region = a_region AND t.season = a_season
                AND t.kind <> 'index'
        )
    ), last AS MATERIALIZED (
        SELECT DISTINCT ON (o.lake_id) o.lake_id, o.season, o.outcome, o.area_m2, o.sigma_m2, o.seen_share,
            o.last_day, s.suspect IS NOT NULL AS suspect
        FROM counted s JOIN lake_observation o ON o.survey_id = s.id
        WHERE o.outcome <> 'not observed' AND (s.region = a_region OR o.lake_id IN (
            SELECT h.lake_id FROM survey r JOIN lake_observation h ON h.survey_id = r.id
            WHERE r.region = a_region AND r.season <= a_season AND r.superseded_by IS NULL
        ))
        ORDER BY o.lake_id,
            o.outcome = 'dry' OR coalesce(o.seen_share >= :seen_whole AND s.suspect IS NULL, false) DESC,
            o.season DESC, :preference
    )
    SELECT last.* FROM last
    WHERE NOT EXISTS (
        SELECT FROM lake_lineage e JOIN counted s ON s.id = e.survey_id
        WHERE e.lake_id = last.lake_id AND e.kind = 'merged' AND e.season > last.season
    )
$$;
