-- A nearest-neighbour scan of the index over all current outlines selects candidates, which are then ranked
-- by distance on the ellipsoid.
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
$$;
