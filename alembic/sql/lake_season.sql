-- Observations of a region and season, one per lake: from the preferred survey, or from a given source.
CREATE FUNCTION lake_season(a_region text, a_season integer, a_source text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, outcome text, reason text, area_m2 float8, sigma_m2 float8, seen_share float8,
    first_day date, last_day date, suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 AS $$
    SELECT DISTINCT ON (o.lake_id) o.lake_id, o.outcome, o.reason, o.area_m2, o.sigma_m2, o.seen_share,
        o.first_day, o.last_day, s.suspect IS NOT NULL
    FROM survey s JOIN lake_observation o ON o.survey_id = s.id
    WHERE s.region = a_region AND s.season = a_season AND s.superseded_by IS NULL
        AND CASE WHEN a_source IS NULL THEN s.id IN (SELECT id FROM survey_shown) ELSE s.source = a_source END
    ORDER BY o.lake_id, :preference
$$;
