-- What an audit from outside compares with staging, the lake and run.completed (onpoint verify).
CREATE VIEW onpoint_runs.v_audit_results AS
SELECT batch_id, stage, run_id, dataset, sequence, status, reason, rows_read, rows_accepted, rows_rejected,
    rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing, revived_at
FROM onpoint_runs.results;

-- Deaths of batches that nobody has asked for.
CREATE VIEW onpoint_runs.v_unmatched_failures AS
SELECT batch_id, stage FROM onpoint_runs.unmatched_failures;
