-- A dead batch whose dead letter was replayed becomes done: its row says when.
ALTER TABLE onpoint_runs.results ADD COLUMN revived_at timestamptz;

-- The listing in the lake is behind the ledger while `listing_changes` is above `listing_written`.
ALTER TABLE onpoint_runs.runs
    ADD COLUMN superseded_by text,            -- the latest replay of this run that delivered something
    ADD COLUMN listing_changes bigint NOT NULL DEFAULT 0,
    ADD COLUMN listing_written bigint NOT NULL DEFAULT 0;

CREATE INDEX runs_to_list ON onpoint_runs.runs (run_id)
    WHERE listing_changes > listing_written AND status IS NOT NULL;
CREATE INDEX runs_unfinished ON onpoint_runs.runs (run_id) WHERE status IS NULL;

CREATE VIEW onpoint_runs.v_results AS
SELECT batch_id, stage, run_id, dataset, sequence, status, reason, rows_read, recorded_at
FROM onpoint_runs.results;

CREATE OR REPLACE VIEW onpoint_runs.v_runs AS
SELECT
    r.run_id,
    coalesce(r.status, 'running') AS status,
    r.reason,
    r.requested_by,
    r.requested_at,
    r.started_at,
    r.finished_at,
    coalesce(
        r.datasets,
        (SELECT array_agg(d.dataset ORDER BY d.dataset) FROM onpoint_runs.datasets d WHERE d.run_id = r.run_id),
        '{}'
    ) AS datasets,
    v.value::jsonb AS completed,
    r.request ->> 'replay_of' AS replay_of,
    r.superseded_by
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id;

-- What a sweep of the object stores must know of a run (shared/sweep). `ended_at` is null as long as the run goes on,
-- or one that goes on replays it; `dead_datasets` may still get objects in the lake, by a replay of dead letters.
CREATE VIEW onpoint_runs.v_sweep_runs AS
SELECT
    r.run_id,
    r.requested_at,
    CASE WHEN NOT EXISTS (
        SELECT FROM onpoint_runs.runs replay
        WHERE replay.status IS NULL AND replay.request ->> 'replay_of' = r.run_id
    ) THEN r.finished_at END AS ended_at,
    ARRAY (
        SELECT d.dataset FROM onpoint_runs.datasets d
        WHERE d.run_id = r.run_id AND d.crawler_dead + d.processor_dead + d.s3sink_dead > 0
    ) AS dead_datasets
FROM onpoint_runs.runs r;

-- Every file that a result names, in staging and in the lake.
CREATE VIEW onpoint_runs.v_files AS
SELECT r.run_id, r.dataset, r.stage, a.uri
FROM onpoint_runs.results r, jsonb_to_recordset(r.artifacts) AS a (uri text);
