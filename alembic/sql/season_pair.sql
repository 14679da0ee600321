CREATE VIEW season_pair AS
SELECT region, lag(season) OVER (PARTITION BY region, by_index ORDER BY season) AS season_from,
    season AS season_to, by_index
FROM (SELECT DISTINCT region, season, kind = 'index' AS by_index FROM survey_shown) AS surveyed;
COMMENT ON VIEW season_pair IS
    'Surveyed seasons of a region, each with the surveyed season before it; seasons of an index are paired among themselves';
