-- Files of the lake that became one: `planned` names the sources, `written` the object that has their rows, `committed` is
-- the moment from which it counts in their place, `listed` the one from which every listing names it.
CREATE TABLE onpoint_lake.compactions (
    name text PRIMARY KEY,
    dataset text NOT NULL,
    folder text NOT NULL,
    latest boolean NOT NULL,                   -- rows with a newer one of their key were left out
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'written', 'committed', 'listed')),
    uri text UNIQUE,
    rows bigint,
    bytes bigint,
    sha256 text,
    planned_at timestamptz NOT NULL DEFAULT now(),
    written_at timestamptz,
    committed_at timestamptz,
    listed_at timestamptz
);

CREATE INDEX compactions_unlisted ON onpoint_lake.compactions (dataset) WHERE state <> 'listed';
CREATE INDEX compactions_of_dataset ON onpoint_lake.compactions (dataset, committed_at);

-- A file is the source of one compaction.
CREATE TABLE onpoint_lake.compaction_sources (
    uri text PRIMARY KEY,
    compaction text NOT NULL REFERENCES onpoint_lake.compactions ON DELETE CASCADE,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL
);

CREATE INDEX sources_of_compaction ON onpoint_lake.compaction_sources (compaction);

-- The runs whose rows its sources had, and how many of them are in the object.
CREATE TABLE onpoint_lake.compaction_runs (
    compaction text NOT NULL REFERENCES onpoint_lake.compactions ON DELETE CASCADE,
    run_id text NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (compaction, run_id)
);

CREATE INDEX compactions_of_run ON onpoint_lake.compaction_runs (run_id);

-- `_datasets/<dataset>.json` is behind while `changes` is above `written`.
CREATE TABLE onpoint_lake.dataset_listings (
    dataset text PRIMARY KEY,
    changes bigint NOT NULL,
    written bigint NOT NULL DEFAULT 0
);

-- What the sink stored, file by file. An object may have several: `files` names them where the table has that column.
CREATE VIEW onpoint_lake.v_stored_files AS
SELECT o.object_name, o.run_id, o.dataset, o.requested_at, f.uri, f.rows, f.bytes, f.sha256
FROM onpoint_lake.objects o
CROSS JOIN LATERAL jsonb_to_recordset(
    CASE WHEN jsonb_typeof(to_jsonb(o) -> 'files') = 'array' THEN to_jsonb(o) -> 'files'
    ELSE jsonb_build_array(jsonb_build_object('uri', o.uri, 'rows', o.rows, 'bytes', o.bytes, 'sha256', o.sha256)) END
) AS f (uri text, rows bigint, bytes bigint, sha256 text)
WHERE o.state = 'announced';

CREATE VIEW onpoint_lake.v_replaced_files AS
SELECT s.uri, s.rows, s.bytes, s.sha256, c.dataset, c.name AS compaction, c.committed_at, c.listed_at
FROM onpoint_lake.compaction_sources s JOIN onpoint_lake.compactions c ON c.name = s.compaction
WHERE c.state IN ('committed', 'listed');

-- What compactions made and no later one replaced.
CREATE VIEW onpoint_lake.v_compacted_files AS
SELECT c.name AS compaction, c.dataset, c.folder, c.latest, c.uri, c.rows, c.bytes, c.sha256, c.committed_at
FROM onpoint_lake.compactions c
WHERE c.state IN ('committed', 'listed')
    AND NOT EXISTS (SELECT FROM onpoint_lake.v_replaced_files r WHERE r.uri = c.uri);

-- What an audit from outside compares with the lake (onpoint verify).
CREATE VIEW onpoint_lake.v_audit_compactions AS
SELECT c.name, c.dataset, c.folder, c.latest, c.state, c.uri, c.rows, c.bytes, c.sha256, c.listed_at,
    ARRAY (SELECT s.uri FROM onpoint_lake.compaction_sources s WHERE s.compaction = c.name ORDER BY s.uri) AS sources,
    (SELECT jsonb_object_agg(r.run_id, r.rows) FROM onpoint_lake.compaction_runs r WHERE r.compaction = c.name) AS runs
FROM onpoint_lake.compactions c;

CREATE FUNCTION onpoint_lake.mark_changed(datasets text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    INSERT INTO onpoint_lake.dataset_listings (dataset, changes)
    SELECT DISTINCT name, 1 FROM unnest(datasets) AS name ORDER BY name
    ON CONFLICT (dataset) DO UPDATE SET changes = onpoint_lake.dataset_listings.changes + 1
$$;

-- Datasets that are in the lake already get their listing.
SELECT onpoint_lake.mark_changed(ARRAY (SELECT DISTINCT dataset FROM onpoint_lake.objects WHERE state = 'announced'));
