-- Nulls by column, as the loader counted them in a batch's rows; null: it did not.
ALTER TABLE onpoint_runs.results ADD COLUMN nulls jsonb;

-- Of the rows that a run loaded; only columns that were counted in every one of its batches.
CREATE VIEW onpoint_runs.loaded_nulls AS
SELECT r.run_id, r.dataset, counted.key AS column_name, sum(counted.value::bigint)::bigint AS nulls
FROM onpoint_runs.results r, jsonb_each_text(r.nulls) AS counted
WHERE r.stage = 'loader' AND r.status = 'done'
GROUP BY r.run_id, r.dataset, counted.key
HAVING count(*) = (
    SELECT count(*) FROM onpoint_runs.results s
    WHERE s.run_id = r.run_id AND s.dataset = r.dataset AND s.stage = 'loader' AND s.status = 'done'
);
