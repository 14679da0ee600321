-- `last_observations` of `monitor/lakes/change.py` in SQL, for the lakes that surveys of the region have
-- observed in the season or in the surveyed season before it; a test verifies that both agree. Most lakes were
-- seen whole in the season before; the others are looked up one by one, also in neighbouring regions, so that
-- the outlines of all seasons are not read.
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
    ), recent AS MATERIALIZED (
        SELECT DISTINCT ON (o.lake_id) o.lake_id, o.season, o.outcome, o.area_m2, o.sigma_m2, o.seen_share,
            o.last_day, s.suspect IS NOT NULL AS suspect,
            o.outcome = 'dry' OR o.outcome = 'water' AND s.suspect IS NULL
                AND coalesce(o.seen_share, 0) >= :seen_whole AS comparable
        FROM counted s JOIN lake_observation o ON o.survey_id = s.id
        WHERE s.region = a_region AND s.season = (SELECT max(season) FROM counted WHERE region = a_region)
        ORDER BY o.lake_id, comparable DESC, :preference
    ), other AS (
        SELECT r.lake_id FROM recent r WHERE NOT r.comparable
        UNION
        SELECT h.lake_id FROM survey s JOIN lake_observation h ON h.survey_id = s.id
        WHERE s.region = a_region AND s.season = a_season AND s.superseded_by IS NULL
            AND NOT EXISTS (SELECT FROM recent r WHERE r.lake_id = h.lake_id)
        UNION
        SELECT e.lake_id FROM survey s JOIN lake_lineage e ON e.survey_id = s.id
        WHERE s.region = a_region AND s.season = a_season AND s.superseded_by IS NULL
            AND NOT EXISTS (SELECT FROM recent r WHERE r.lake_id = e.lake_id)
    ), last AS (
        SELECT r.lake_id, r.season, r.outcome, r.area_m2, r.sigma_m2, r.seen_share, r.last_day, r.suspect
        FROM recent r WHERE r.comparable
        UNION ALL
        SELECT found.* FROM other CROSS JOIN LATERAL (
            SELECT o.lake_id, o.season, o.outcome, o.area_m2, o.sigma_m2, o.seen_share, o.last_day,
                s.suspect IS NOT NULL
            FROM lake_observation o JOIN counted s ON s.id = o.survey_id
            WHERE o.lake_id = other.lake_id AND o.outcome <> 'not observed'
            ORDER BY o.outcome = 'dry' OR coalesce(o.seen_share >= :seen_whole AND s.suspect IS NULL, false)
                DESC, o.season DESC, :preference
            LIMIT 1
        ) AS found
    )
    SELECT last.* FROM last
    WHERE NOT EXISTS (
        SELECT FROM lake_lineage e JOIN counted s ON s.id = e.survey_id
        WHERE e.lake_id = last.lake_id AND e.kind = 'merged' AND e.season > last.season
    )
$$;
