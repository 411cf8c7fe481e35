-- What an audit from outside compares with the run ledger (onpoint verify).
CREATE VIEW onpoint_loader.v_audit_batches AS
SELECT batch_id, run_id, dataset, status, rows_loaded, rows_superseded
FROM onpoint_loader.loaded_batches;
