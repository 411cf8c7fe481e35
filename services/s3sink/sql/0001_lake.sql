CREATE SCHEMA onpoint_lake;

-- An object of the lake, from its assignment to its announcement. Its name is derived from its batches.
CREATE TABLE onpoint_lake.objects (
    object_name text PRIMARY KEY,
    run_id text NOT NULL,
    dataset text NOT NULL,
    requested_at timestamptz NOT NULL,
    batch_ids text[] NOT NULL,
    clean_bytes bigint NOT NULL,
    state text NOT NULL DEFAULT 'assigned' CHECK (state IN ('assigned', 'written', 'announced')),
    uri text,
    rows bigint,
    bytes bigint,
    sha256 text,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz,
    written_at timestamptz,
    announced_at timestamptz
);

CREATE INDEX objects_unfinished ON onpoint_lake.objects (assigned_at) WHERE state <> 'announced';
CREATE INDEX objects_of_dataset ON onpoint_lake.objects (dataset, written_at DESC) WHERE state <> 'assigned';

-- A batch that arrived. `unannounced`: it died after its record was committed, and nobody was told yet.
CREATE TABLE onpoint_lake.batches (
    batch_id text PRIMARY KEY,
    run_id text NOT NULL,
    dataset text NOT NULL,
    sequence bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    manifest jsonb NOT NULL,
    arrived_at timestamptz NOT NULL DEFAULT now(),
    status text NOT NULL CHECK (status IN ('pending', 'assigned', 'empty', 'dead')),
    object_name text,
    result jsonb,
    unannounced boolean NOT NULL DEFAULT false
);

CREATE INDEX batches_of_run ON onpoint_lake.batches (run_id, dataset);
CREATE INDEX batches_pending ON onpoint_lake.batches (run_id, dataset, sequence) WHERE status = 'pending';
CREATE INDEX batches_unannounced ON onpoint_lake.batches (batch_id) WHERE unannounced;

-- How many batches a run has in the end.
CREATE TABLE onpoint_lake.seals (
    run_id text NOT NULL,
    dataset text NOT NULL,
    batches bigint NOT NULL,
    PRIMARY KEY (run_id, dataset)
);
