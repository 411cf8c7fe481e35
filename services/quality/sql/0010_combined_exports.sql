-- Export files that have the rows of many batches: what became of each dataset of a run in each format, lately.
CREATE TABLE onpoint_runs.combined_exports (
    run_id text NOT NULL,
    dataset text NOT NULL,
    format text NOT NULL,
    status text NOT NULL CHECK (status IN ('done', 'failed')),
    detail text,                              -- why the last try failed
    batches bigint NOT NULL DEFAULT 0,        -- whose rows are in the files
    manifest text,                            -- the object that names the files
    artifacts jsonb NOT NULL DEFAULT '[]',    -- the files of the last try that was done
    produced_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, dataset, format)
);

CREATE VIEW onpoint_runs.v_combined_exports AS
SELECT run_id, dataset, format, status, detail, batches, manifest, artifacts, produced_at
FROM onpoint_runs.combined_exports;

CREATE OR REPLACE VIEW onpoint_runs.v_files AS
SELECT r.run_id, r.dataset, r.stage, a.uri
FROM onpoint_runs.results r, jsonb_to_recordset(r.artifacts) AS a (uri text)
UNION ALL
SELECT c.run_id, c.dataset, 'converter', a.uri
FROM onpoint_runs.combined_exports c, jsonb_to_recordset(c.artifacts) AS a (uri text);
