-- Nulls by column, as the loader counted them in a batch's rows; null: it did not.
ALTER TABLE onpoint_runs.results ADD COLUMN nulls jsonb;

-- What a run's loaded batches hold. `unknown`: some of them were not counted.
CREATE VIEW onpoint_runs.loaded_nulls AS
SELECT
    r.run_id,
    r.dataset,
    bool_or(r.nulls IS NULL) AS unknown,
    (
        SELECT coalesce(jsonb_object_agg(total.name, total.nulls), '{}')
        FROM (
            SELECT counted.key AS name, sum(counted.value::bigint) AS nulls
            FROM onpoint_runs.results s, jsonb_each_text(s.nulls) AS counted
            WHERE s.run_id = r.run_id AND s.dataset = r.dataset AND s.stage = 'loader' AND s.status = 'done'
            GROUP BY counted.key
        ) AS total
    ) AS nulls
FROM onpoint_runs.results r
WHERE r.stage = 'loader' AND r.status = 'done'
GROUP BY r.run_id, r.dataset;
