CREATE VIEW lake_change_yearly AS
SELECT p.region, coalesce(c.season_before, p.season_from) AS season_from, p.season_to, p.season_to AS season,
    c.lake_id, l.code, c.area_before_m2, c.area_after_m2, c.change_m2, c.sigma_m2, c.detection_limit_m2,
    c.change_percent, c.verdict, c.verdict NOT IN ('no significant change', 'not observed') AS significant,
    c.day_before, c.day_after, c.suspect
FROM season_pair p
CROSS JOIN LATERAL lake_change(p.region, NULL, p.season_to) c
JOIN lake l ON l.id = c.lake_id
WHERE p.season_from IS NOT NULL;
COMMENT ON VIEW lake_change_yearly IS
    'Change of each lake in each surveyed season since its last observation before, however long ago that was (season_from)';
