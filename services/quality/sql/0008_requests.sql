-- Runs as their requests name them. A service that takes one up makes its row in `runs`.
CREATE TABLE onpoint_runs.requests (
    run_id text PRIMARY KEY,
    requested_at timestamptz NOT NULL,
    requested_by text,
    datasets text[]                           -- null: none that could be read, or those of the run that is replayed
);

-- `started_at` is null while no service has taken the run up.
CREATE OR REPLACE VIEW onpoint_runs.v_runs AS
SELECT
    r.run_id,
    coalesce(r.status, 'running') AS status,
    r.reason,
    coalesce(r.requested_by, CASE WHEN r.datasets IS NULL THEN q.requested_by END) AS requested_by,
    r.requested_at,
    r.started_at,
    r.finished_at,
    coalesce(
        r.datasets,
        q.datasets,
        (SELECT array_agg(d.dataset ORDER BY d.dataset) FROM onpoint_runs.datasets d WHERE d.run_id = r.run_id),
        '{}'
    ) AS datasets,
    v.value::jsonb AS completed,
    r.replay_of,
    r.superseded_by,
    r.from_stage
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.requests q ON q.run_id = r.run_id
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id
UNION ALL
SELECT q.run_id, 'running', NULL, q.requested_by, q.requested_at, NULL, NULL, coalesce(q.datasets, '{}'), NULL, NULL, NULL, NULL
FROM onpoint_runs.requests q
WHERE NOT EXISTS (SELECT FROM onpoint_runs.runs r WHERE r.run_id = q.run_id);
