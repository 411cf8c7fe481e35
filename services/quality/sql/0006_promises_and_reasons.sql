-- What the source promised, what came twice, and why rows were refused.
ALTER TABLE onpoint_runs.results
    ADD COLUMN promised bigint,                            -- crawler: null where no answer said how many there are
    ADD COLUMN repeated bigint NOT NULL DEFAULT 0,         -- loader: superseded within the run
    ADD COLUMN rejected_by_reason jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN absent text[] NOT NULL DEFAULT '{}',        -- processor: columns whose field no record of the batch had
    ADD COLUMN unnamed text[] NOT NULL DEFAULT '{}';       -- processor: fields that no column is for, where one is absent

CREATE OR REPLACE VIEW onpoint_runs.v_audit_results AS
SELECT batch_id, stage, run_id, dataset, sequence, status, reason, rows_read, rows_accepted, rows_rejected,
    rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing, revived_at, promised, repeated,
    rejected_by_reason, absent
FROM onpoint_runs.results;
