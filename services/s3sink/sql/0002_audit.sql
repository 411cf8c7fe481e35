-- What an audit from outside compares with the run ledger and the lake (onpoint verify).
CREATE VIEW onpoint_lake.v_audit_objects AS
SELECT object_name, run_id, dataset, requested_at, batch_ids, state, uri, rows, bytes, sha256
FROM onpoint_lake.objects;

CREATE VIEW onpoint_lake.v_audit_batches AS
SELECT batch_id, run_id, dataset, status, rows, object_name, unannounced
FROM onpoint_lake.batches;
