-- Theil (1950) and Sen (1968): median of the slopes between all pairs of seasons, with the 95 % interval
-- from Kendall's statistic; ranks as in scipy.stats.theilslopes.
CREATE VIEW lake_trend AS
WITH seen AS (
    SELECT lake_id, count(*) AS seasons, min(season) AS first_season, max(season) AS last_season,
        :z95 * sqrt(count(*) * (count(*) - 1) * (2 * count(*) + 5) / 18.0) AS spread,
        count(*) * (count(*) - 1) / 2 AS pairs, array_agg(season ORDER BY season) AS seen_in,
        array_agg(CASE WHEN outcome = 'dry' THEN 0 ELSE area_m2 END ORDER BY season) AS area
    FROM lake_area_history
    WHERE suspect IS NULL AND (outcome = 'dry' OR outcome = 'water' AND seen_share >= :seen_whole)
    GROUP BY lake_id HAVING count(*) > 2
)
SELECT lake_id, l.code, l.region, seasons, first_season, last_season, median AS slope_m2_per_year,
    CASE WHEN seasons > 3 THEN slopes[greatest(round(((pairs - spread) / 2)::numeric)::int, 1)] END
        AS slope_low_m2_per_year,
    CASE WHEN seasons > 3 THEN slopes[least(round(((pairs + spread) / 2)::numeric)::int + 1, pairs)] END
        AS slope_high_m2_per_year
FROM seen
JOIN lake l ON l.id = lake_id
CROSS JOIN LATERAL (
    SELECT array_agg(slope ORDER BY slope) AS slopes,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY slope) AS median
    FROM (
        SELECT (area[j] - area[i]) / (seen_in[j] - seen_in[i]) AS slope
        FROM generate_subscripts(seen_in, 1) AS i, generate_subscripts(seen_in, 1) AS j WHERE j > i
    ) AS pair
) AS sorted;
COMMENT ON VIEW lake_trend IS
    'Robust slope of the area over all seasons in which the lake was seen whole (Theil 1950, Sen 1968), with its 95 % interval from four seasons on';
