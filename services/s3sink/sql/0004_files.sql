-- A dataset with partitions of its own has a file in each of its folders: [{uri, rows, bytes, sha256, batch_ids}].
-- Null: there is one file, at `uri`. Several have no `uri` and no `sha256`; `rows` and `bytes` are their sums.
ALTER TABLE onpoint_lake.objects ADD COLUMN files jsonb;

CREATE OR REPLACE VIEW onpoint_lake.v_audit_objects AS
SELECT object_name, run_id, dataset, requested_at, batch_ids, state, uri, rows, bytes, sha256, files
FROM onpoint_lake.objects;
