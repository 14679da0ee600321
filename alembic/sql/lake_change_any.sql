CREATE VIEW lake_change_any AS
SELECT a.region, a.season AS season_from, a.source AS source_from, b.season AS season_to,
    b.source AS source_to, c.lake_id, l.code, c.area_before_m2, c.area_after_m2, c.change_m2, c.sigma_m2,
    c.detection_limit_m2, c.change_percent, c.verdict,
    c.verdict NOT IN ('no significant change', 'not observed') AS significant, c.day_before, c.day_after,
    c.suspect
FROM survey a
JOIN survey b ON b.region = a.region AND b.superseded_by IS NULL AND (b.kind = 'index') = (a.kind = 'index')
    AND (b.season > a.season OR b.season = a.season AND b.source <> a.source)
CROSS JOIN LATERAL lake_change(a.region, a.season, b.season, a.source, b.source) c
JOIN lake l ON l.id = c.lake_id
WHERE a.superseded_by IS NULL;
COMMENT ON VIEW lake_change_any IS
    'Change of each lake between any two surveys of a region; select by season_from, season_to and, where a season has several surveys, source_from and source_to';
