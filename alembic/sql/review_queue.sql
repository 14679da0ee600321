CREATE VIEW review_queue AS
SELECT f.id AS flag_id, f.survey_id, s.region, s.season, s.kind AS survey_kind, f.tile, f.lake_id,
    l.code AS lake_code, f.kind, f.explained, f.score, f.geom, f.detail, f.created_at, v.verdict, v.by, v.note,
    v.at
FROM review_flag f
JOIN survey_shown s ON s.id = f.survey_id
LEFT JOIN lake l ON l.id = f.lake_id
LEFT JOIN LATERAL (
    SELECT verdict, by, note, at FROM review_verdict WHERE flag_id = f.id ORDER BY id DESC LIMIT 1
) AS v ON true;
COMMENT ON VIEW review_queue IS 'Flags of the surveys in survey_shown, with the latest verdict (null: open)';
