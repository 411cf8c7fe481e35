CREATE SCHEMA IF NOT EXISTS onpoint_runs;

CREATE TABLE onpoint_runs.runs (
    run_id text PRIMARY KEY,
    datasets text[],                          -- null until the first crawl.planned tells them
    request json,                             -- as it was accepted; the first wins
    requested_at timestamptz NOT NULL,
    requested_by text,
    refused text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sealed_state text CHECK (sealed_state IN ('assigned', 'announced')),
    sealed_at timestamptz,
    drained_state text CHECK (drained_state IN ('assigned', 'announced')),
    drained_at timestamptz,
    status text CHECK (status IN ('succeeded', 'partial', 'failed', 'cancelled')),
    reason text,
    finished_at timestamptz
);

CREATE INDEX runs_to_announce ON onpoint_runs.runs (run_id)
    WHERE sealed_state = 'assigned' OR drained_state = 'assigned';
CREATE INDEX runs_open ON onpoint_runs.runs (run_id) WHERE drained_state IS NULL;
CREATE INDEX runs_recent ON onpoint_runs.runs (requested_at DESC);

-- One row per batch and stage: the first result that arrives stays.
CREATE TABLE onpoint_runs.results (
    batch_id text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('crawler', 'processor', 'converter', 'loader', 's3sink')),
    run_id text NOT NULL,
    dataset text NOT NULL,
    sequence bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('done', 'dead')),
    reason text,
    detail text,
    rows_read bigint,                         -- null: the record could not be read, so nobody knows
    rows_accepted bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    rows_deduplicated bigint NOT NULL,
    rows_loaded bigint NOT NULL,
    rows_superseded bigint NOT NULL,
    artifacts jsonb NOT NULL,
    missing jsonb NOT NULL,
    produced_at timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (batch_id, stage)
);

CREATE INDEX results_of_run ON onpoint_runs.results (run_id, dataset, sequence);

-- Counters: a result that really was inserted adds to them in the same transaction.
CREATE TABLE onpoint_runs.datasets (
    run_id text NOT NULL,
    dataset text NOT NULL,
    batches_planned bigint,                   -- null until its crawl.planned; the first wins
    rows_planned bigint,                      -- null where the source did not say
    crawler_done bigint NOT NULL DEFAULT 0,
    crawler_dead bigint NOT NULL DEFAULT 0,
    crawler_rows bigint NOT NULL DEFAULT 0,
    processor_done bigint NOT NULL DEFAULT 0,
    processor_dead bigint NOT NULL DEFAULT 0,
    processor_rows bigint NOT NULL DEFAULT 0,
    converter_done bigint NOT NULL DEFAULT 0,
    converter_dead bigint NOT NULL DEFAULT 0,
    converter_rows bigint NOT NULL DEFAULT 0,
    loader_done bigint NOT NULL DEFAULT 0,
    loader_dead bigint NOT NULL DEFAULT 0,
    loader_rows bigint NOT NULL DEFAULT 0,
    s3sink_done bigint NOT NULL DEFAULT 0,
    s3sink_dead bigint NOT NULL DEFAULT 0,
    s3sink_rows bigint NOT NULL DEFAULT 0,
    -- What must hold before the results themselves are looked at: a batch that is dead at two stages counts twice here.
    may_be_sealed boolean NOT NULL GENERATED ALWAYS AS (
        coalesce(crawler_dead + processor_done + processor_dead >= batches_planned, false)
    ) STORED,
    may_be_drained boolean NOT NULL GENERATED ALWAYS AS (
        coalesce(
            crawler_dead + processor_done + processor_dead >= batches_planned
            AND crawler_done + crawler_dead >= batches_planned
            AND converter_done + converter_dead >= processor_done
            AND loader_done + loader_dead >= processor_done
            AND s3sink_done + s3sink_dead >= processor_done,
            false
        )
    ) STORED,
    PRIMARY KEY (run_id, dataset)
) WITH (fillfactor = 50);                     -- updated once per result: room for that without touching the index

-- Deaths that name a batch by its id alone, until a plan tells whose it is.
CREATE TABLE onpoint_runs.unmatched_failures (
    batch_id text NOT NULL,
    stage text NOT NULL,
    unread boolean NOT NULL,                  -- true: the stage told its result, but the ledger could not read it
    reason text NOT NULL,
    detail text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (batch_id, stage)
);

-- What a run came to, decided once, before anything of it can be seen outside.
CREATE TABLE onpoint_runs.verdicts (
    run_id text PRIMARY KEY REFERENCES onpoint_runs.runs,
    value json NOT NULL,                      -- the run.completed value
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which record decided: only that one publishes run.completed, again if it comes again.
CREATE TABLE onpoint_runs.completions (
    run_id text PRIMARY KEY REFERENCES onpoint_runs.verdicts,
    topic text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    completed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE VIEW onpoint_runs.batches AS
SELECT
    run_id,
    dataset,
    sequence,
    batch_id,
    max(status) FILTER (WHERE stage = 'crawler') AS crawler,
    max(status) FILTER (WHERE stage = 'processor') AS processor,
    max(status) FILTER (WHERE stage = 'converter') AS converter,
    max(status) FILTER (WHERE stage = 'loader') AS loader,
    max(status) FILTER (WHERE stage = 's3sink') AS s3sink
FROM onpoint_runs.results
GROUP BY run_id, dataset, sequence, batch_id;

CREATE VIEW onpoint_runs.v_runs AS
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
    v.value::jsonb AS completed
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c ON c.run_id = r.run_id
LEFT JOIN onpoint_runs.verdicts v ON v.run_id = c.run_id;

CREATE VIEW onpoint_runs.v_progress AS
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
) AS s (stage, batches_done, batches_dead, rows);
