-- `lake_drainage` with the function that a reader may call and each lake's last outline. A lake has several
-- rows in a season whose surveys observed it on different days.
CREATE VIEW served.lake_drainage AS
SELECT concat_ws('.', d.lake_id, d.season_from, d.season_to, row_number() OVER (
        PARTITION BY d.region, d.season_from, d.season_to, d.lake_id
        ORDER BY d.day_before, d.day_after, d.area_before_m2, d.area_after_m2
    ), d.region) AS drainage_id, d.*,
    CASE WHEN outline.lake_id IS NULL THEN outline.geom ELSE outline.geom END AS geom
FROM (
    SELECT c.region, c.season_from, c.season_to, c.lake_id, l.code, c.verdict, c.area_before_m2,
        c.area_after_m2, -c.change_m2 AS lost_m2, c.sigma_m2, -c.change_percent AS lost_percent, c.day_before,
        c.day_after, -c.change_m2 / nullif(c.day_after - c.day_before, 0) AS rate_m2_per_day, c.suspect,
        EXISTS (
            SELECT FROM lake_lineage e JOIN survey s ON s.id = e.survey_id
            WHERE e.other_lake_id = c.lake_id AND e.kind = 'split' AND s.region = c.region
                AND s.superseded_by IS NULL AND e.season > c.season_from AND e.season <= c.season_to
        ) AS split
    FROM (
        SELECT p.region, coalesce(change.season_before, p.season_from) AS season_from, p.season_to, change.*
        FROM season_pair p
        CROSS JOIN LATERAL served.lake_change(p.region, NULL, p.season_to) change
        WHERE p.season_from IS NOT NULL
        UNION ALL
        SELECT a.region, a.season, b.season, change.*
        FROM survey a
        JOIN survey b ON b.region = a.region AND b.season = a.season AND b.source <> a.source
            AND b.superseded_by IS NULL AND (b.kind = 'index') = (a.kind = 'index')
        CROSS JOIN LATERAL served.lake_change(a.region, a.season, b.season, a.source, b.source) change
        WHERE a.superseded_by IS NULL AND change.day_after > change.day_before
    ) AS c
    JOIN lake l ON l.id = c.lake_id
    WHERE c.verdict = 'drained' OR c.verdict = 'shrunk' AND c.change_percent < -100 * :drainage_loss
        AND -c.change_m2 > c.detection_limit_m2
) AS d
LEFT JOIN lake_outline outline USING (lake_id);
COMMENT ON VIEW served.lake_drainage IS
    'Outburst candidates: lakes that are dry, or lost more than a share of :drainage_loss of their area beyond the error, since their last observation before, with the lake''s last outline; split: other lakes split from it, whose area counts as its own';
