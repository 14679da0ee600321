CREATE OR REPLACE VIEW served.lake_latest AS SELECT * FROM lake_latest;
