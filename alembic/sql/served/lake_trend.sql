CREATE VIEW served.lake_trend AS
SELECT t.*, CASE WHEN outline.lake_id IS NULL THEN outline.geom ELSE outline.geom END AS geom
FROM lake_trend t LEFT JOIN lake_outline outline USING (lake_id);
COMMENT ON VIEW served.lake_trend IS
    'Robust slope of the area over all seasons in which the lake was seen whole (Theil 1950, Sen 1968), with its 95 % interval from four seasons on and the lake''s last outline';
