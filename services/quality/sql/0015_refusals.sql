-- Results with refused rows, by dataset: a key is looked for in the latest ones (onpoint trace).
CREATE INDEX results_with_refusals ON onpoint_runs.results (dataset, recorded_at DESC) WHERE rows_rejected > 0;

CREATE VIEW onpoint_runs.v_refusals AS
SELECT dataset, run_id, batch_id, stage, sequence, recorded_at, artifacts
FROM onpoint_runs.results
WHERE rows_rejected > 0;
