CREATE SCHEMA onpoint_loader;

-- One row per batch, in the transaction that holds the batch's rows: the first writer wins.
CREATE TABLE onpoint_loader.loaded_batches (
    batch_id text PRIMARY KEY,
    run_id text NOT NULL,
    dataset text NOT NULL,
    status text NOT NULL CHECK (status IN ('done', 'dead')),
    rows_loaded bigint NOT NULL DEFAULT 0,
    rows_superseded bigint NOT NULL DEFAULT 0,
    result jsonb NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX loaded_batches_of_run ON onpoint_loader.loaded_batches (run_id);
