-- For a bus that lost its records: what runs that have not ended had published is published again by the next look at
-- what was left unpublished. Their number is returned.
CREATE FUNCTION onpoint_runs.announce_again() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH found AS (
        UPDATE onpoint_runs.runs SET
            sealed_state = CASE WHEN sealed_state IS NOT NULL THEN 'assigned' END,
            drained_state = CASE WHEN drained_state IS NOT NULL THEN 'assigned' END
        WHERE status IS NULL AND 'announced' IN (sealed_state, drained_state)
        RETURNING 1
    )
    SELECT count(*) FROM found
$$;

REVOKE ALL ON FUNCTION onpoint_runs.announce_again() FROM PUBLIC;
