CREATE VIEW served.lake_area_history AS SELECT * FROM lake_area_history;
COMMENT ON VIEW served.lake_area_history IS
    'One row per lake and season, from the preferred survey: observed before not observed, a model before an inventory, an index only where there is no other survey';
