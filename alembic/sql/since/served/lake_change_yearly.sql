-- `lake_change_yearly` with the function that a reader may call and each lake's last outline. The CASE has
-- no effect on the result, but keeps the planner from reversing the join for a filter on the outline: the
-- planner expects few matches and would compute all changes again for each (measured: 4 s instead of 0.3 s).
CREATE VIEW served.lake_change_yearly AS
SELECT concat_ws('.', c.lake_id, c.season_to, c.region) AS change_id, c.*,
    CASE WHEN outline.lake_id IS NULL THEN outline.geom ELSE outline.geom END AS geom
FROM (
    SELECT p.region, coalesce(c.season_before, p.season_from) AS season_from, p.season_to,
        p.season_to AS season, c.lake_id, l.code, c.area_before_m2, c.area_after_m2, c.change_m2, c.sigma_m2,
        c.detection_limit_m2, c.change_percent, c.verdict,
        c.verdict NOT IN ('no significant change', 'not observed') AS significant, c.day_before, c.day_after,
        c.suspect
    FROM season_pair p
    CROSS JOIN LATERAL served.lake_change(p.region, NULL, p.season_to) c
    JOIN lake l ON l.id = c.lake_id
    WHERE p.season_from IS NOT NULL
) AS c
LEFT JOIN lake_outline outline USING (lake_id);
COMMENT ON VIEW served.lake_change_yearly IS
    'Change of each lake in each surveyed season since its last observation before (season_from), with the lake''s last outline';
