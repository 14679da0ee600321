CREATE VIEW served.lake_latest AS SELECT * FROM lake_latest;
COMMENT ON VIEW served.lake_latest IS 'One row per lake: its last observation, water or dry';
