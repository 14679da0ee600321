CREATE VIEW served.lake_area_history AS SELECT * FROM lake_area_history;
COMMENT ON VIEW served.lake_area_history IS
    'One row for each lake and season, from the survey that is preferred: the model''s before an inventory''s, an observation before a not observed, an index''s after all others';
