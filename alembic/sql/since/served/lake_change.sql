-- Views run with the rights of their owner, but functions in them run with those of the reader, who may not
-- read the tables. This function therefore runs with its owner's rights, and only roles with EXECUTE may
-- call it.
CREATE FUNCTION served.lake_change(a_region text, season_from integer, season_to integer,
    source_from text DEFAULT NULL, source_to text DEFAULT NULL)
RETURNS TABLE (lake_id uuid, season_before integer, area_before_m2 float8, area_after_m2 float8,
    change_m2 float8, sigma_m2 float8, detection_limit_m2 float8, change_percent float8, verdict text,
    day_before date, day_after date, suspect boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 30000 SECURITY DEFINER SET search_path = :schema, pg_temp AS $$
    SELECT * FROM :schema.lake_change(a_region, season_from, season_to, source_from, source_to)
$$;
REVOKE EXECUTE ON FUNCTION served.lake_change FROM PUBLIC;
COMMENT ON FUNCTION served.lake_change IS 'lake_change, run with the rights of its owner';
