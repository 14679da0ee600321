-- The last outline of each lake, for the geometry of drained lakes, changes and trends.
CREATE VIEW lake_outline AS
SELECT best.lake_id, o.geom FROM (
    SELECT DISTINCT ON (o.lake_id) o.lake_id, o.id
    FROM lake_observation o JOIN survey_shown s ON s.id = o.survey_id
    WHERE o.outcome = 'water'
    ORDER BY o.lake_id, o.season DESC, :preference
) AS best JOIN lake_observation o ON o.id = best.id;
COMMENT ON VIEW lake_outline IS 'The last outline of each lake';
