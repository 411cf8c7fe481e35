"""The sink's SQL."""

ADD_BATCH = """
INSERT INTO onpoint_lake.batches
    (batch_id, run_id, dataset, sequence, requested_at, rows, bytes, manifest, status, result, record)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING true
"""

FIND = """
SELECT b.status, b.manifest, b.result, o.uri, o.rows, o.bytes, o.sha256, o.files, o.batch_ids, o.written_at,
    coalesce(o.state = 'announced', false) AS is_published
FROM onpoint_lake.batches b LEFT JOIN onpoint_lake.objects o USING (object_name)
WHERE b.batch_id = $1
"""

# The seal counts the dead batch. The count is lowered by one, so that no batch of a complete run waits for an object
# because another batch is redriven.
CLEAR_FAILURE = """
WITH gone AS (
    DELETE FROM onpoint_lake.batches WHERE batch_id = $1 AND status = 'dead' RETURNING run_id, dataset
)
UPDATE onpoint_lake.seals s SET batches = greatest(s.batches - 1, 0)
FROM gone WHERE s.run_id = gone.run_id AND s.dataset = gone.dataset
"""

SEAL = """
INSERT INTO onpoint_lake.seals (run_id, dataset, batches)
SELECT $1, dataset, batches FROM unnest($2::text[], $3::bigint[]) AS given (dataset, batches)
ON CONFLICT DO NOTHING
"""

# Rows of a seal's run that arrived, dead ones included. Read before the pending rows are locked: what is
# counted is then among those that are locked.
IS_COMPLETE = """
SELECT EXISTS (
    SELECT FROM onpoint_lake.seals s
    WHERE s.run_id = $1 AND s.dataset = $2 AND s.batches <= (
        SELECT count(*) FROM onpoint_lake.batches b WHERE b.run_id = $1 AND b.dataset = $2
    )
)
"""

# Runs and datasets for which an assignment may be due; `pack_objects` decides. $1: least bytes, $2: age in seconds,
# $5: least rows.
DUE = """
SELECT b.run_id, b.dataset
FROM onpoint_lake.batches b
WHERE b.status = 'pending' AND ($3::text IS NULL OR (b.run_id = $3 AND b.dataset = $4))
GROUP BY b.run_id, b.dataset
HAVING sum(b.bytes) >= $1 OR sum(b.rows) >= $5
    OR min(b.arrived_at) <= now() - make_interval(secs => $2)
    OR EXISTS (
        SELECT FROM onpoint_lake.seals s
        WHERE s.run_id = b.run_id AND s.dataset = b.dataset AND s.batches <= (
            SELECT count(*) FROM onpoint_lake.batches accepted
            WHERE accepted.run_id = b.run_id AND accepted.dataset = b.dataset
        )
    )
"""

# Of the dataset's latest objects that are large enough to tell.
RATIO = """
SELECT sum(bytes)::float8 / sum(clean_bytes) FROM (
    SELECT bytes, clean_bytes FROM onpoint_lake.objects
    WHERE dataset = $1 AND state <> 'assigned' AND clean_bytes >= 1048576
    ORDER BY written_at DESC LIMIT 5
) AS latest
"""

# SKIP LOCKED: a replica that is deciding about these rows, or was paused while it did, delays no other replica.
LOCK_PENDING = """
SELECT batch_id, bytes, rows, requested_at, arrived_at <= now() - make_interval(secs => $3) AS is_old
FROM onpoint_lake.batches
WHERE run_id = $1 AND dataset = $2 AND status = 'pending'
ORDER BY sequence, batch_id
FOR UPDATE SKIP LOCKED
"""

MAKE_OBJECT = """
INSERT INTO onpoint_lake.objects (object_name, run_id, dataset, requested_at, batch_ids, clean_bytes)
VALUES ($1, $2, $3, $4, $5, $6)
"""

PUT_INTO_OBJECT = """
UPDATE onpoint_lake.batches SET status = 'assigned', object_name = $1 WHERE batch_id = ANY ($2::text[])
"""

UNFINISHED = """
SELECT object_name, coalesce(claimed_at <= now() - make_interval(secs => $1), false) AS is_stale
FROM onpoint_lake.objects
WHERE state <> 'announced' AND object_name <> ALL ($2::text[])
ORDER BY assigned_at
LIMIT $3
"""

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"

# $3 false: this session has the lock. Otherwise it claims the object of a session that has the lock and seems to be paused.
CLAIM = """
UPDATE onpoint_lake.objects SET claimed_at = clock_timestamp()
WHERE object_name = $1 AND state <> 'announced'
    AND (NOT $3 OR claimed_at <= now() - make_interval(secs => $2))
RETURNING object_name, run_id, dataset, requested_at, batch_ids, state, uri, rows, bytes, sha256, files, written_at,
    claimed_at
"""

# $2: when this process claimed the object or renewed the claim last. Another time is that of another process.
RENEW = """
UPDATE onpoint_lake.objects SET claimed_at = clock_timestamp()
WHERE object_name = $1 AND claimed_at = $2 AND state = 'assigned'
RETURNING claimed_at
"""

BATCHES_OF_OBJECT = """
SELECT batch_id, manifest FROM onpoint_lake.batches WHERE object_name = $1
"""

WRITTEN = """
UPDATE onpoint_lake.objects SET state = 'written', uri = $2, rows = $3, bytes = $4, sha256 = $5, files = $6,
    written_at = now()
WHERE object_name = $1 AND state = 'assigned'
RETURNING written_at
"""

MARK_PUBLISHED = """
UPDATE onpoint_lake.objects SET state = 'announced', announced_at = now()
WHERE object_name = $1 AND state = 'written'
"""

UNDO = "DELETE FROM onpoint_lake.objects WHERE object_name = $1 AND state = 'assigned' RETURNING true"

MARK_FAILED = """
UPDATE onpoint_lake.batches SET status = 'dead', object_name = NULL, result = $2, unannounced = true
WHERE batch_id = $1
"""

WAIT_AGAIN = """
UPDATE onpoint_lake.batches SET status = 'pending', object_name = NULL WHERE object_name = $1 AND status = 'assigned'
"""

UNPUBLISHED_DEAD = (
    "SELECT result, record FROM onpoint_lake.batches WHERE unannounced ORDER BY batch_id LIMIT 100"
)

MARK_DEAD_PUBLISHED = "UPDATE onpoint_lake.batches SET unannounced = false WHERE batch_id = ANY ($1::text[])"

# Both by partial indexes: what is finished costs nothing.
WAITING = """
SELECT
    (SELECT count(*) FROM onpoint_lake.objects WHERE state <> 'announced') AS objects,
    (SELECT count(*) FROM onpoint_lake.batches WHERE status = 'pending') AS batches
"""
