CREATE VIEW season_pair AS
SELECT region, lag(season) OVER (PARTITION BY region, by_index ORDER BY season) AS season_from,
    season AS season_to, by_index
FROM (SELECT DISTINCT region, season, kind = 'index' AS by_index FROM survey_shown) AS surveyed;
COMMENT ON VIEW season_pair IS
    'Seasons of a region, each with the one surveyed before it; an index''s among themselves';
