CREATE OR REPLACE VIEW served.lake_area_history AS SELECT * FROM lake_area_history;
