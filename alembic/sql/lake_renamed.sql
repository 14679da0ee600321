-- A lake without current observations, and the lake that has its outline now: for example, an earlier season
-- that was added later gave the lake an older identity.
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
);
COMMENT ON VIEW lake_renamed IS
    'Identities without current observations, and the lake that is now at their place';
