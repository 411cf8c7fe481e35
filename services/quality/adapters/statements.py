"""The ledger's SQL. Stage and milestone names are the only text put into a statement, and they are literals."""

from typing import Literal

from shared.events.topology import STAGES

FAILURES_RETENTION_DAYS = 30
"""A failure of a batch that no plan names belongs to no run of the ledger."""

REQUESTS_RETENTION_DAYS = 30
"""As long as a request's dead letter: until then the crawler may still accept the run."""

REQUESTED = f"""
WITH expired AS (
    DELETE FROM onpoint_runs.requests
    WHERE requested_at < clock_timestamp() - interval '{REQUESTS_RETENTION_DAYS} days'
)
INSERT INTO onpoint_runs.requests (run_id, requested_at, requested_by, datasets)
VALUES ($1, $2, $3, $4::text[])
ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant of this file

ACCEPTED = """
WITH accepted AS (
    INSERT INTO onpoint_runs.runs (run_id, requested_at)
    SELECT run_id, requested_at FROM onpoint_runs.requests WHERE run_id = $1
    ON CONFLICT DO NOTHING
    RETURNING true
)
SELECT EXISTS (SELECT FROM accepted) OR EXISTS (SELECT FROM onpoint_runs.runs WHERE run_id = $1)
"""

# Every statement takes result, run, dataset in this order (each part reads from the one before), so two of them
# wait for each other and never deadlock. A done result replaces a dead one, and a later dead one an earlier one: its
# dead letter was redriven. A dead result without a manifest has no time and counts as the earliest. A result that replaces
# another one, or comes after the run was drained, may change the run's listing.
_RECORD = """
WITH run AS (
    INSERT INTO onpoint_runs.runs (run_id, requested_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1
), recorded AS (
    INSERT INTO onpoint_runs.results AS r (
        batch_id, stage, run_id, dataset, sequence, status, reason, detail, rows_read, rows_accepted,
        rows_rejected, rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing, produced_at, nulls, promised,
        repeated, rejected_by_reason, absent, unnamed, rows_filtered, rows_added, cpu_ms
    )
    SELECT $4, '{stage}', $1, $3, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb, $16::jsonb, $17, $19::jsonb,
        $20::bigint, $21, $22::jsonb, $23::text[], $24::text[], $25, $26, $27::bigint
    FROM (SELECT count(*) FROM run) AS first
    ON CONFLICT (batch_id, stage) DO UPDATE SET
        status = excluded.status, reason = excluded.reason, detail = excluded.detail, rows_read = excluded.rows_read,
        rows_accepted = excluded.rows_accepted, rows_rejected = excluded.rows_rejected,
        rows_deduplicated = excluded.rows_deduplicated, rows_loaded = excluded.rows_loaded,
        rows_superseded = excluded.rows_superseded, artifacts = excluded.artifacts, missing = excluded.missing,
        produced_at = excluded.produced_at, nulls = excluded.nulls, promised = excluded.promised,
        repeated = excluded.repeated, rejected_by_reason = excluded.rejected_by_reason, absent = excluded.absent,
        unnamed = excluded.unnamed, rows_filtered = excluded.rows_filtered, rows_added = excluded.rows_added,
        cpu_ms = excluded.cpu_ms,
        recorded_at = clock_timestamp(),
        revived_at = clock_timestamp()
    WHERE r.status = 'dead' AND r.run_id = $1 AND r.dataset = $3
        AND (excluded.status = 'done' OR excluded.produced_at > coalesce(r.produced_at, '-infinity'))
    RETURNING status, (revived_at IS NOT NULL)::int AS redriven
), listing AS (
    UPDATE onpoint_runs.runs r
    SET listing_changes = r.listing_changes + 1
    FROM recorded
    WHERE r.run_id = $1 AND (recorded.redriven = 1 OR r.drained_state IS NOT NULL)
    RETURNING 1
), counted AS (
    INSERT INTO onpoint_runs.datasets AS d (
        run_id, dataset, {stage}_done, {stage}_dead, {stage}_rows, rows_planned
    )
    SELECT $1, $3, (status = 'done')::int, (status = 'dead')::int - redriven, $18, $20::bigint
    FROM recorded, (SELECT count(*) FROM listing) AS second
    ON CONFLICT (run_id, dataset) DO UPDATE SET
        {stage}_done = d.{stage}_done + excluded.{stage}_done,
        {stage}_dead = d.{stage}_dead + excluded.{stage}_dead,
        {stage}_rows = d.{stage}_rows + excluded.{stage}_rows,
        rows_planned = greatest(d.rows_planned, excluded.rows_planned)
    RETURNING d.may_be_sealed, d.may_be_drained
)
SELECT true AS inserted, recorded.status = 'done' AND recorded.redriven = 1 AS is_redriven, may_be_sealed, may_be_drained,
    EXISTS (SELECT FROM onpoint_runs.runs WHERE run_id = $1 AND drained_state IS NOT NULL) AS is_late
FROM counted, recorded
UNION ALL
SELECT false, false, d.may_be_sealed, d.may_be_drained,
    EXISTS (SELECT FROM onpoint_runs.runs WHERE run_id = $1 AND drained_state IS NOT NULL)
FROM onpoint_runs.datasets d
WHERE d.run_id = $1 AND d.dataset = $3 AND NOT EXISTS (SELECT FROM recorded)
"""

RECORD = {stage: _RECORD.format(stage=stage) for stage in STAGES}

PLAN = """
WITH run AS (
    INSERT INTO onpoint_runs.runs AS r (
        run_id, requested_at, datasets, request, requested_by, refused, replay_of, formats, from_stage
    )
    VALUES ($1, $2, $3::text[], $4::json, $5, $6, $10, $11::text[], $12::text)
    ON CONFLICT (run_id) DO UPDATE SET
        requested_at = excluded.requested_at, datasets = excluded.datasets, request = excluded.request,
        requested_by = excluded.requested_by, refused = excluded.refused,
        replay_of = excluded.replay_of, formats = excluded.formats, from_stage = excluded.from_stage
    WHERE r.datasets IS NULL
    RETURNING 1
)
INSERT INTO onpoint_runs.datasets AS d (run_id, dataset, batches_planned, rows_planned, from_stage)
SELECT $1, name, CASE WHEN name = $7 THEN $8::bigint END, CASE WHEN name = $7 THEN $9::bigint END, $12::text
FROM unnest($3::text[]) AS name, (SELECT count(*) FROM run) AS first
ORDER BY name
ON CONFLICT (run_id, dataset) DO UPDATE SET
    batches_planned = excluded.batches_planned, rows_planned = greatest(d.rows_planned, excluded.rows_planned),
    from_stage = excluded.from_stage
WHERE d.batches_planned IS NULL AND excluded.batches_planned IS NOT NULL
"""

_PROCESSED = """
coalesce((
    SELECT json_object_agg(d.dataset, d.processor_done)
    FROM onpoint_runs.datasets d
    WHERE d.run_id = r.run_id AND d.dataset = ANY (r.datasets)
), '{}')
"""

# A milestone is looked for after the counters that led here are committed: of two replicas that count the last two
# results at once, the later one sees both. What the counters allow is then proven by the results.
_UNREACHED = """
EXISTS (
    SELECT FROM onpoint_runs.datasets d
    WHERE d.run_id = r.run_id AND d.dataset = ANY (r.datasets) AND d.batches_planned > (
        SELECT count(*) FROM onpoint_runs.batches b
        WHERE b.run_id = d.run_id AND b.dataset = d.dataset AND b.sequence < d.batches_planned AND ({reached})
    )
)
"""

_ASSIGN = """
UPDATE onpoint_runs.runs r
SET {kind}_state = 'assigned', {kind}_at = clock_timestamp()
WHERE r.run_id = $1
  AND r.{kind}_state IS NULL
  AND r.datasets IS NOT NULL
  AND CASE
    WHEN cardinality(r.datasets) <> (
        SELECT count(*) FROM onpoint_runs.datasets d
        WHERE d.run_id = r.run_id AND d.dataset = ANY (r.datasets) AND d.may_be_{kind}
    ) THEN false
    ELSE NOT {unreached}
  END
RETURNING r.run_id, r.requested_at, {processed} AS batches
"""

_REACHED: dict[Literal["sealed", "drained"], str] = {
    "sealed": "b.crawler = 'dead' OR b.processor IS NOT NULL",
    "drained": """
        b.crawler IS NOT NULL AND (
            b.processor = 'dead'
            OR b.processor IS NULL AND b.crawler = 'dead'
            OR b.processor = 'done'
            AND (b.converter IS NOT NULL OR d.from_stage NOT IN ('processor', 'converter'))
            AND (b.loader IS NOT NULL OR d.from_stage NOT IN ('processor', 'loader'))
            AND (b.s3sink IS NOT NULL OR d.from_stage NOT IN ('processor', 's3sink'))
        )""",
}

ASSIGN = {
    kind: _ASSIGN.format(kind=kind, unreached=_UNREACHED.format(reached=reached), processed=_PROCESSED)
    for kind, reached in _REACHED.items()
}

# A batch that was redriven after its run was drained is on its way again until its last result is there.
IS_DRAINED = f"""
SELECT NOT {_UNREACHED.format(reached=_REACHED["drained"])}
FROM onpoint_runs.runs r
WHERE r.run_id = $1
"""  # noqa: S608 - constants of this file

MARK_PUBLISHED = """
UPDATE onpoint_runs.runs
SET sealed_state = CASE WHEN sealed_state = 'assigned' AND 'sealed' = ANY ($2) THEN 'announced' ELSE sealed_state END,
    drained_state = CASE WHEN drained_state = 'assigned' AND 'drained' = ANY ($2) THEN 'announced' ELSE drained_state END
WHERE run_id = $1
"""

UNPUBLISHED = f"""
SELECT m.kind, r.run_id, r.requested_at, {_PROCESSED} AS batches
FROM onpoint_runs.runs r
CROSS JOIN LATERAL (
    VALUES ('sealed', r.sealed_state, r.sealed_at), ('drained', r.drained_state, r.drained_at)
) AS m (kind, state, at)
WHERE (r.sealed_state = 'assigned' OR r.drained_state = 'assigned')
  AND m.state = 'assigned' AND m.at < clock_timestamp() - make_interval(secs => $1)
ORDER BY m.at
LIMIT 100
"""  # noqa: S608 - a constant of this file

ADD_FAILURE = f"""
WITH expired AS (
    DELETE FROM onpoint_runs.unmatched_failures
    WHERE received_at < clock_timestamp() - interval '{FAILURES_RETENTION_DAYS} days'
)
INSERT INTO onpoint_runs.unmatched_failures (batch_id, stage, unread, reason, detail)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant of this file

DELETE_FAILURE = "DELETE FROM onpoint_runs.unmatched_failures WHERE batch_id = $1 AND stage = $2"

ANY_FAILURE = "SELECT EXISTS (SELECT FROM onpoint_runs.unmatched_failures)"

FAILURES_OF = """
SELECT batch_id, stage, unread, reason, detail
FROM onpoint_runs.unmatched_failures
WHERE batch_id = ANY ($1::text[])
"""

BATCH_REF_OF = """
SELECT r.run_id, r.dataset, r.sequence, runs.requested_at
FROM onpoint_runs.results r
JOIN onpoint_runs.runs USING (run_id)
WHERE r.batch_id = $1
LIMIT 1
"""

OPEN_PLANS = """
SELECT d.run_id, d.dataset, d.batches_planned AS batches, r.requested_at
FROM onpoint_runs.runs r
JOIN onpoint_runs.datasets d USING (run_id)
WHERE r.drained_state IS NULL AND d.batches_planned > 0
"""
