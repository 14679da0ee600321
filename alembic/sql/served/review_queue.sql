CREATE VIEW served.review_queue AS SELECT * FROM review_queue;
COMMENT ON VIEW served.review_queue IS 'Flags of current surveys, with the latest verdict (null: open)';
