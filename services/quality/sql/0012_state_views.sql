-- What a run came to, in columns: a list of runs needs no look into the verdicts. Null while it goes on, and for a run that
-- an earlier version completed; the view then looks into its verdict.
ALTER TABLE onpoint_runs.runs
    ADD COLUMN rows_crawled bigint,
    ADD COLUMN rows_accepted bigint,
    ADD COLUMN rows_rejected bigint,
    ADD COLUMN rows_loaded bigint,
    ADD COLUMN rows_stored bigint;

UPDATE onpoint_runs.runs r
SET rows_crawled = s.crawled, rows_accepted = s.accepted, rows_rejected = s.rejected, rows_loaded = s.loaded,
    rows_stored = s.stored
FROM onpoint_runs.completions c
JOIN onpoint_runs.verdicts v USING (run_id)
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum((d.value ->> 'rows_crawled')::bigint), 0) AS crawled,
        coalesce(sum((d.value ->> 'rows_accepted')::bigint), 0) AS accepted,
        coalesce(sum((d.value ->> 'rows_rejected')::bigint), 0) AS rejected,
        coalesce(sum((d.value ->> 'rows_loaded')::bigint), 0) AS loaded,
        coalesce(sum((d.value ->> 'rows_stored')::bigint), 0) AS stored
    FROM json_each(v.value -> 'datasets') AS d
) AS s
WHERE r.run_id = c.run_id;

-- CPU time that a stage had for a batch, for what a run costs. Null: not measured.
ALTER TABLE onpoint_runs.results ADD COLUMN cpu_ms bigint;

-- A page of runs of one status, latest first.
CREATE INDEX runs_by_status ON onpoint_runs.runs ((coalesce(status, 'running')), requested_at DESC, run_id);
-- The runs that ended lately.
CREATE INDEX runs_ended ON onpoint_runs.runs (finished_at DESC) WHERE finished_at IS NOT NULL;
-- The runs of a dataset.
CREATE INDEX datasets_by_name ON onpoint_runs.datasets (dataset, run_id);

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
    r.from_stage,
    coalesce(r.rows_crawled, s.crawled) AS rows_crawled,
    coalesce(r.rows_accepted, s.accepted) AS rows_accepted,
    coalesce(r.rows_rejected, s.rejected) AS rows_rejected,
    coalesce(r.rows_loaded, s.loaded) AS rows_loaded,
    coalesce(r.rows_stored, s.stored) AS rows_stored
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.requests q ON q.run_id = r.run_id
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum((d.value ->> 'rows_crawled')::bigint), 0)::bigint AS crawled,
        coalesce(sum((d.value ->> 'rows_accepted')::bigint), 0)::bigint AS accepted,
        coalesce(sum((d.value ->> 'rows_rejected')::bigint), 0)::bigint AS rejected,
        coalesce(sum((d.value ->> 'rows_loaded')::bigint), 0)::bigint AS loaded,
        coalesce(sum((d.value ->> 'rows_stored')::bigint), 0)::bigint AS stored
    FROM json_each(v.value -> 'datasets') AS d
) AS s ON c.run_id IS NOT NULL AND r.rows_crawled IS NULL
UNION ALL
SELECT q.run_id, 'running', NULL, q.requested_by, q.requested_at, NULL, NULL, coalesce(q.datasets, '{}'), NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL
FROM onpoint_runs.requests q
WHERE NOT EXISTS (SELECT FROM onpoint_runs.runs r WHERE r.run_id = q.run_id);

-- When each stage of a dataset of a run worked, and how fast its latest results came. Ask for one run: it reads its results.
CREATE VIEW onpoint_runs.v_stage_times AS
SELECT
    n.run_id,
    n.dataset,
    n.stage,
    count(*) AS batches,
    coalesce(sum(n.rows), 0)::bigint AS rows,
    sum(n.cpu_ms)::bigint AS cpu_ms,
    -- When there was something to do for the first time: a result of the stage before, or the run itself.
    coalesce(min(n.given_at), min(r.started_at)) AS begun_at,
    min(n.recorded_at) AS first_at,
    max(n.recorded_at) AS last_at,
    -- The first half of the results: when it was there, and what it was.
    max(n.recorded_at) FILTER (WHERE n.place <= (n.results + 1) / 2) AS half_at,
    count(*) FILTER (WHERE n.place <= (n.results + 1) / 2) AS half_batches,
    coalesce(sum(n.rows) FILTER (WHERE n.place <= (n.results + 1) / 2), 0)::bigint AS half_rows,
    -- Between the newest batch's result and the one before it.
    greatest(0, extract(epoch FROM (array_agg(n.recorded_at - n.given_at ORDER BY n.given_at DESC NULLS LAST))[1]))::float8
        AS delay_s
FROM (
    SELECT
        o.run_id, o.dataset, o.stage, o.recorded_at, o.cpu_ms, p.recorded_at AS given_at,
        CASE WHEN o.status = 'dead' THEN 0 WHEN o.stage = 'processor' THEN o.rows_accepted ELSE o.rows_read END AS rows,
        row_number() OVER (PARTITION BY o.run_id, o.dataset, o.stage ORDER BY o.recorded_at, o.sequence) AS place,
        count(*) OVER (PARTITION BY o.run_id, o.dataset, o.stage) AS results
    FROM onpoint_runs.results o
    LEFT JOIN onpoint_runs.results p ON p.batch_id = o.batch_id
        AND p.stage = CASE o.stage WHEN 'crawler' THEN NULL WHEN 'processor' THEN 'crawler' ELSE 'processor' END
) AS n
JOIN onpoint_runs.runs r USING (run_id)
GROUP BY n.run_id, n.dataset, n.stage;

-- Batches that a stage has no result of though the stage before has one, of the stages that the run has. Ask for one run.
CREATE VIEW onpoint_runs.v_waiting AS
SELECT p.run_id, p.dataset, s.stage, count(*) AS batches, min(p.recorded_at) AS since
FROM onpoint_runs.results p
JOIN onpoint_runs.runs r USING (run_id)
JOIN (VALUES ('processor', 'crawler'), ('converter', 'processor'), ('loader', 'processor'), ('s3sink', 'processor'))
    AS s (stage, parent) ON s.parent = p.stage
WHERE p.status = 'done'
    AND (r.from_stage IS NULL OR s.stage = 'processor' OR r.from_stage IN ('processor', s.stage))
    AND NOT EXISTS (SELECT FROM onpoint_runs.results c WHERE c.batch_id = p.batch_id AND c.stage = s.stage)
GROUP BY p.run_id, p.dataset, s.stage;

-- The newest run of each dataset of which every accepted row is in its table, whatever the run came to.
CREATE VIEW onpoint_runs.v_freshness AS
WITH RECURSIVE names AS (
    (SELECT dataset FROM onpoint_runs.datasets ORDER BY dataset LIMIT 1)
    UNION ALL
    SELECT (SELECT d.dataset FROM onpoint_runs.datasets d WHERE d.dataset > n.dataset ORDER BY d.dataset LIMIT 1)
    FROM names n
    WHERE n.dataset IS NOT NULL
)
SELECT n.dataset, whole.run_id, whole.requested_at, whole.loaded_at, whole.rows
FROM names n
LEFT JOIN LATERAL (
    SELECT c.run_id, c.requested_at, l.loaded_at, c.rows
    FROM (
        SELECT r.run_id, r.requested_at, r.finished_at, d.loader_rows AS rows
        FROM onpoint_runs.datasets d
        JOIN onpoint_runs.runs r USING (run_id)
        WHERE d.dataset = n.dataset
            AND coalesce(d.from_stage, 'processor') IN ('processor', 'loader')
            AND d.crawler_done + d.crawler_dead >= d.batches_planned
            AND d.crawler_dead + d.processor_done + d.processor_dead >= d.batches_planned
            AND d.loader_done >= d.processor_done
            AND (d.processor_done > 0 OR d.batches_planned = 0)
            AND coalesce(r.status, '') <> 'cancelled'
        ORDER BY r.requested_at DESC, r.run_id DESC
        OFFSET 0  -- only the first of these are looked into
    ) AS c
    CROSS JOIN LATERAL (
        SELECT coalesce(max(o.recorded_at), c.finished_at) AS loaded_at, coalesce(sum(o.rows_rejected), 0) AS refused
        FROM onpoint_runs.results o
        WHERE o.run_id = c.run_id AND o.dataset = n.dataset AND o.stage = 'loader'
    ) AS l
    WHERE l.refused = 0
    LIMIT 1
) AS whole ON true
WHERE n.dataset IS NOT NULL;

-- How long runs of a kind usually take: of the last 14 that delivered something. A kind is who asks for which datasets.
CREATE VIEW onpoint_runs.v_usual AS
SELECT
    k.requested_by,
    k.datasets,
    count(*) AS runs,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY k.took_s) AS median_s,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY k.took_s) AS p90_s,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY k.rows) AS median_rows
FROM (
    SELECT
        r.requested_by, sorted.datasets, r.rows_crawled::float8 AS rows,
        extract(epoch FROM r.finished_at - r.requested_at)::float8 AS took_s,
        row_number() OVER (PARTITION BY r.requested_by, sorted.datasets ORDER BY r.requested_at DESC, r.run_id) AS place
    FROM onpoint_runs.runs r
    CROSS JOIN LATERAL (SELECT array_agg(name ORDER BY name) AS datasets FROM unnest(r.datasets) AS name) AS sorted
    WHERE r.status IN ('succeeded', 'partial') AND r.replay_of IS NULL
) AS k
WHERE k.place <= 14
GROUP BY k.requested_by, k.datasets;
