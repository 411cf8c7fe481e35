"""What the checks ask of PostgreSQL: its own state, and the run ledger."""

DATABASE = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()) AS active,
    pg_database_size(current_database()) AS bytes
"""

# When a run brought rows last. A run that goes on has brought some with its newest loaded batch.
FRESHNESS = """
SELECT d.dataset, bool_or(r.status IS NOT NULL) AS has_ended, clock_timestamp() AS now,
    max(CASE WHEN d.loader_rows = 0 THEN NULL WHEN r.status IS NOT NULL THEN r.finished_at ELSE (
        SELECT max(x.recorded_at) FROM onpoint_runs.results x
        WHERE x.run_id = r.run_id AND x.dataset = d.dataset AND x.stage = 'loader' AND x.status = 'done'
    ) END) AS loaded_at
FROM onpoint_runs.datasets d JOIN onpoint_runs.runs r USING (run_id)
GROUP BY d.dataset
"""

_RECENT = """
recent AS (
    SELECT x.*, r.requested_at
    FROM onpoint_runs.runs r JOIN onpoint_runs.results x USING (run_id)
    WHERE (r.finished_at IS NULL OR r.finished_at > clock_timestamp() - interval '1 hour')
      AND coalesce(x.revived_at, x.recorded_at) > clock_timestamp() - interval '1 hour'
)
"""

# A stage's time of a batch runs from the result of the stage before; the crawler's from the run's request.
LATENCY = f"""
WITH {_RECENT}
SELECT x.stage, count(*) AS batches,
    sum(CASE x.stage WHEN 'loader' THEN x.rows_loaded + x.rows_superseded ELSE 0 END)::bigint AS rows,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY took.seconds) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY took.seconds) AS p95
FROM recent x
LEFT JOIN onpoint_runs.results before ON before.batch_id = x.batch_id
    AND before.stage = CASE x.stage WHEN 'processor' THEN 'crawler' WHEN 'crawler' THEN NULL ELSE 'processor' END
CROSS JOIN LATERAL (
    SELECT greatest(0, extract(epoch FROM x.produced_at
        - CASE x.stage WHEN 'crawler' THEN x.requested_at ELSE before.produced_at END))::float8 AS seconds
) took
WHERE x.status = 'done'
GROUP BY x.stage
"""  # noqa: S608 - made of constants

ERRORS = f"""
WITH {_RECENT}
SELECT stage, count(*) AS batches, count(*) FILTER (WHERE status = 'dead') AS dead FROM recent GROUP BY stage
"""  # noqa: S608 - made of constants

FAILED_RUNS = """
SELECT count(*) FILTER (WHERE status = 'failed') AS failed, count(*) AS ended
FROM onpoint_runs.runs WHERE finished_at > clock_timestamp() - interval '1 hour'
"""

# Batches that wait for a stage, in the runs that go on, and when anything of these runs had its last result.
QUEUE = """
SELECT s.stage, sum(greatest(0, s.waiting))::bigint AS waiting
FROM onpoint_runs.runs r
JOIN onpoint_runs.datasets d USING (run_id)
CROSS JOIN LATERAL (
    VALUES
        ('crawler', d.batches_planned - d.crawler_done - d.crawler_dead),
        ('processor', d.crawler_done - d.processor_done - d.processor_dead),
        ('converter', CASE WHEN coalesce(d.from_stage, 'processor') IN ('processor', 'converter')
            THEN d.processor_done - d.converter_done - d.converter_dead END),
        ('loader', CASE WHEN coalesce(d.from_stage, 'processor') IN ('processor', 'loader')
            THEN d.processor_done - d.loader_done - d.loader_dead END),
        ('s3sink', CASE WHEN coalesce(d.from_stage, 'processor') IN ('processor', 's3sink')
            THEN d.processor_done - d.s3sink_done - d.s3sink_dead END)
) AS s (stage, waiting)
WHERE r.drained_state IS NULL AND r.status IS NULL
GROUP BY s.stage
"""

LAST_RESULT = """
SELECT extract(epoch FROM clock_timestamp() - max(coalesce(last.at, r.started_at, r.requested_at)))::float8
FROM onpoint_runs.runs r
LEFT JOIN LATERAL (
    SELECT max(coalesce(x.revived_at, x.recorded_at)) AS at FROM onpoint_runs.results x WHERE x.run_id = r.run_id
) last ON true
WHERE r.drained_state IS NULL AND r.status IS NULL
"""

# A replication slot that change capture had and that is gone, or whose WAL is, has lost changes.
CHANGE_CAPTURE = """
SELECT s.wal_status, s.active, (pg_current_wal_lsn() - s.confirmed_flush_lsn)::bigint AS lag_bytes
FROM pg_publication p LEFT JOIN pg_replication_slots s ON s.slot_name = p.pubname
WHERE p.pubname = 'onpoint_cdc'
"""

SINCE = "SELECT check_name, item, status, since, told FROM onpoint_news.health"
