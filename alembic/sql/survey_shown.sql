CREATE VIEW survey_shown AS
SELECT s.id, s.region, s.season, s.kind, s.source, s.digest, s.run_id, s.created_at, s.model_digest,
    s.inventory_id, s.suspect
FROM survey s
WHERE s.superseded_by IS NULL AND (s.kind <> 'index' OR NOT EXISTS (
    SELECT FROM survey better
    WHERE better.superseded_by IS NULL AND better.kind <> 'index'
        AND (better.region, better.season) = (s.region, s.season)
));
COMMENT ON VIEW survey_shown IS
    'Current surveys, those of an index only where region and season have no other';
