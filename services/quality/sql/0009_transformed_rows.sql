-- What the transforms of datasets left out and made.
ALTER TABLE onpoint_runs.results
    ADD COLUMN rows_filtered bigint NOT NULL DEFAULT 0,    -- processor: lines of which no row is left
    ADD COLUMN rows_added bigint NOT NULL DEFAULT 0;       -- processor: rows beyond the first of their line

CREATE OR REPLACE VIEW onpoint_runs.v_audit_results AS
SELECT batch_id, stage, run_id, dataset, sequence, status, reason, rows_read, rows_accepted, rows_rejected,
    rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing, revived_at, promised, repeated,
    rejected_by_reason, absent, rows_filtered, rows_added
FROM onpoint_runs.results;
