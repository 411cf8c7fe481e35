-- For what changes files that runs' listings name: these listings are behind from then on.
CREATE FUNCTION onpoint_runs.mark_listings_behind(run_ids text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH locked AS (
        SELECT run_id FROM onpoint_runs.runs WHERE run_id = ANY (run_ids) ORDER BY run_id FOR UPDATE
    )
    UPDATE onpoint_runs.runs r SET listing_changes = r.listing_changes + 1 FROM locked WHERE r.run_id = locked.run_id
$$;

-- What a reader of the lake's state needs of runs: whether a run has ended, by which it is superseded, and whether the
-- listing in the lake has all of it.
CREATE VIEW onpoint_runs.v_listings AS
SELECT run_id, superseded_by, finished_at AS ended_at, listing_written >= listing_changes AS is_current
FROM onpoint_runs.runs;
