-- Where a replay begins: of the last three stages it has this one alone. Null or 'processor': all of them.
ALTER TABLE onpoint_runs.runs ADD COLUMN from_stage text;
-- Again here, so that the row that holds the counters says which of them count.
ALTER TABLE onpoint_runs.datasets ADD COLUMN from_stage text;

-- Runs that go on: the stages read this of the request. Its text may hold an escaped NUL, so it is not read as JSON.
UPDATE onpoint_runs.runs
SET from_stage = substring(request::text FROM '"from_stage": ?"([a-z0-9]+)"')
WHERE status IS NULL AND replay_of IS NOT NULL;

UPDATE onpoint_runs.datasets d
SET from_stage = r.from_stage
FROM onpoint_runs.runs r
WHERE r.run_id = d.run_id AND r.from_stage IS NOT NULL;

ALTER TABLE onpoint_runs.datasets DROP COLUMN may_be_drained;
ALTER TABLE onpoint_runs.datasets ADD COLUMN may_be_drained boolean NOT NULL GENERATED ALWAYS AS (
    coalesce(
        crawler_dead + processor_done + processor_dead >= batches_planned
        AND crawler_done + crawler_dead >= batches_planned
        AND (from_stage NOT IN ('processor', 'converter') OR converter_done + converter_dead >= processor_done)
        AND (from_stage NOT IN ('processor', 'loader') OR loader_done + loader_dead >= processor_done)
        AND (from_stage NOT IN ('processor', 's3sink') OR s3sink_done + s3sink_dead >= processor_done),
        false
    )
) STORED;

CREATE OR REPLACE VIEW onpoint_runs.v_progress AS
SELECT
    d.run_id,
    d.dataset,
    s.stage,
    d.batches_planned,
    d.rows_planned,
    s.batches_done,
    s.batches_dead,
    s.rows
FROM onpoint_runs.datasets d
CROSS JOIN LATERAL (
    VALUES
        ('crawler', d.crawler_done, d.crawler_dead, d.crawler_rows),
        ('processor', d.processor_done, d.processor_dead, d.processor_rows),
        ('converter', d.converter_done, d.converter_dead, d.converter_rows),
        ('loader', d.loader_done, d.loader_dead, d.loader_rows),
        ('s3sink', d.s3sink_done, d.s3sink_dead, d.s3sink_rows)
) AS s (stage, batches_done, batches_dead, rows)
WHERE d.from_stage IS NULL OR s.stage IN ('crawler', 'processor') OR d.from_stage IN ('processor', s.stage);

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
    r.superseded_by,
    r.from_stage
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id;
