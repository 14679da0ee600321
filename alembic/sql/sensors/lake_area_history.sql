-- The column `sensors` is the last one: the view is replaced, not dropped, because others depend on it.
-- Observations are chosen by id before outlines are joined, so that short rows are sorted, without outlines
-- of a kilobyte each.
CREATE OR REPLACE VIEW lake_area_history AS
SELECT o.id AS observation_id, best.lake_id, l.code, o.survey_id, s.region, best.season, s.kind, s.source,
    o.outcome, o.reason, o.area_m2, o.sigma_m2,
    CASE WHEN o.area_m2 < :z95 * o.sigma_m2 THEN 0 ELSE o.area_m2 - :z95 * o.sigma_m2 END AS area_low_m2,
    o.area_m2 + :z95 * o.sigma_m2 AS area_high_m2, o.sigma_shore_m2, o.sigma_model_m2, o.perimeter_m,
    o.seen_share, o.first_day, o.last_day, o.probability, o.elevation_m, o.glacier_m, o.label, o.attributes,
    o.task_key, s.model_digest, s.suspect, o.geom,
    o.sensors
FROM (
    SELECT DISTINCT ON (o.lake_id, o.season) o.lake_id, o.season, o.id
    FROM lake_observation o JOIN survey_shown s ON s.id = o.survey_id
    ORDER BY o.lake_id, o.season, :preference
) AS best
JOIN lake_observation o ON o.id = best.id
JOIN survey s ON s.id = o.survey_id
JOIN lake l ON l.id = best.lake_id;
COMMENT ON COLUMN lake_area_history.sensors IS
    'Sensors from which most of the lake was mapped, such as S2L2A+S1+DEM; null for inventories and surveys of earlier versions';
