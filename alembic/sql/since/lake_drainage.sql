CREATE VIEW lake_drainage AS
SELECT c.region, c.season_from, c.season_to, c.lake_id, c.code, c.verdict, c.area_before_m2, c.area_after_m2,
    -c.change_m2 AS lost_m2, c.sigma_m2, -c.change_percent AS lost_percent, c.day_before, c.day_after,
    -c.change_m2 / nullif(c.day_after - c.day_before, 0) AS rate_m2_per_day, c.suspect,
    EXISTS (
        SELECT FROM lake_lineage e JOIN survey s ON s.id = e.survey_id
        WHERE e.other_lake_id = c.lake_id AND e.kind = 'split' AND s.region = c.region
            AND s.superseded_by IS NULL AND e.season > c.season_from AND e.season <= c.season_to
    ) AS split
FROM (
    SELECT region, season_from, season_to, lake_id, code, verdict, area_before_m2, area_after_m2, change_m2,
        sigma_m2, detection_limit_m2, change_percent, day_before, day_after, suspect
    FROM lake_change_yearly
    UNION ALL
    SELECT region, season_from, season_to, lake_id, code, verdict, area_before_m2, area_after_m2, change_m2,
        sigma_m2, detection_limit_m2, change_percent, day_before, day_after, suspect
    FROM lake_change_any WHERE season_from = season_to AND day_after > day_before
) AS c
WHERE c.verdict = 'drained'
    OR c.verdict = 'shrunk' AND c.change_percent < -100 * :drainage_loss
        AND -c.change_m2 > c.detection_limit_m2;
COMMENT ON VIEW lake_drainage IS
    'Outburst candidates: lakes that are dry, or lost more than a share of :drainage_loss of their area beyond the error, since their last observation before; split: other lakes split from it, whose area counts as its own';
