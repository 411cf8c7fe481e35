-- What is asked of a request, in columns: a request may hold texts (an escaped NUL) that PostgreSQL refuses to look into.
ALTER TABLE onpoint_runs.runs
    ADD COLUMN replay_of text,
    ADD COLUMN formats text[];                -- null: each dataset's own

UPDATE onpoint_runs.runs
SET replay_of = request ->> 'replay_of',
    formats = CASE WHEN json_typeof(request -> 'formats') = 'array'
        THEN ARRAY (SELECT json_array_elements_text(request -> 'formats')) END
WHERE strpos(request::text, '\u0000') = 0;

CREATE INDEX runs_replaying ON onpoint_runs.runs (replay_of) WHERE status IS NULL AND replay_of IS NOT NULL;

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
    r.replay_of,
    r.superseded_by
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id;

CREATE OR REPLACE VIEW onpoint_runs.v_sweep_runs AS
SELECT
    r.run_id,
    r.requested_at,
    CASE WHEN NOT EXISTS (
        SELECT FROM onpoint_runs.runs replay WHERE replay.status IS NULL AND replay.replay_of = r.run_id
    ) THEN r.finished_at END AS ended_at,
    ARRAY (
        SELECT d.dataset FROM onpoint_runs.datasets d
        WHERE d.run_id = r.run_id AND d.crawler_dead + d.processor_dead + d.s3sink_dead > 0
    ) AS dead_datasets
FROM onpoint_runs.runs r;
