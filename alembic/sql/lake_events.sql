CREATE VIEW lake_events AS
SELECT s.region, e.season, e.kind AS event, e.lake_id, l.code, e.other_lake_id, other.code AS other_code,
    s.kind AS survey_kind, s.source, s.suspect
FROM lake_lineage e
JOIN survey_shown s ON s.id = e.survey_id
JOIN lake l ON l.id = e.lake_id
LEFT JOIN lake other ON other.id = e.other_lake_id;
COMMENT ON VIEW lake_events IS 'Events of lakes'' identities: new, split, merged, drained, reappeared';
