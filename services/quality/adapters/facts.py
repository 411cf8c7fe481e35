"""What the verdict on a drained run is made of, as the run ledger has it."""

import asyncpg

from services.quality.adapters.statements import IS_DRAINED
from services.quality.domain.row_accounting import (
    AbsentColumn,
    Cause,
    DatasetPlan,
    Files,
    PartlyConverted,
    Rejections,
    Remark,
    RunFacts,
    StageTotals,
)
from shared.events.models import DeadBatch, MissingRecords
from shared.events.topology import stages_of

LISTED = 500
"""Dead batches and missing pages that an event names; it gives the number of the others."""

Connection = asyncpg.pool.PoolConnectionProxy

_HEAD = (
    "SELECT requested_at, started_at, refused, formats, from_stage FROM onpoint_runs.runs WHERE run_id = $1"
)

# What the answers with the records promised; without a promise, the plan's number.
_PLANS = """
SELECT d.dataset, d.batches_planned, coalesce(
    (
        SELECT max(c.promised) FROM onpoint_runs.results c
        WHERE c.run_id = r.run_id AND c.dataset = d.dataset AND c.stage = 'crawler'
    ),
    d.rows_planned
) AS rows_promised
FROM onpoint_runs.runs r
JOIN onpoint_runs.datasets d ON d.run_id = r.run_id AND d.dataset = ANY (r.datasets)
WHERE r.run_id = $1
ORDER BY array_position(r.datasets, d.dataset)
"""

# The rows lost with a dead batch are the output of the stage before: the failed stage may not have counted them.
_TOTALS = """
SELECT r.dataset, r.stage, r.status,
    sum(coalesce(
        CASE WHEN r.status = 'dead' AND r.stage = 'processor' THEN p.rows_read
             WHEN r.status = 'dead' AND r.stage <> 'crawler' THEN p.rows_accepted END,
        r.rows_read,
        0
    ))::bigint AS read,
    sum(r.rows_accepted)::bigint AS accepted,
    sum(r.rows_rejected)::bigint AS rejected,
    sum(r.rows_deduplicated)::bigint AS deduplicated,
    sum(r.rows_loaded)::bigint AS loaded,
    sum(r.rows_superseded)::bigint AS superseded,
    sum(r.rows_filtered)::bigint AS filtered,
    sum(r.rows_added)::bigint AS added,
    sum(r.repeated)::bigint AS repeated
FROM onpoint_runs.results r
LEFT JOIN onpoint_runs.results p
    ON p.batch_id = r.batch_id
    AND p.stage = CASE WHEN r.status = 'done' OR r.stage = 'crawler' THEN NULL
        WHEN r.stage = 'processor' THEN 'crawler' ELSE 'processor' END
WHERE r.run_id = $1 AND r.stage = ANY ($2::text[])
GROUP BY r.dataset, r.stage, r.status
"""

_FILES = """
SELECT dataset, stage, format, count(*) AS count, sum(bytes)::bigint AS bytes
FROM (
    SELECT DISTINCT ON (r.dataset, r.stage, a.uri) r.dataset, r.stage, a.uri, a.format, a.bytes
    FROM onpoint_runs.results r, jsonb_to_recordset(r.artifacts) AS a (uri text, format text, bytes bigint)
    WHERE r.run_id = $1 AND r.stage IN ('converter', 's3sink') AND r.stage = ANY ($2::text[]) AND r.status = 'done'
) AS files
GROUP BY dataset, stage, format
ORDER BY dataset, stage, format
"""

_DEAD_BATCHES = """
SELECT dataset, count(DISTINCT batch_id) AS batches, count(*) AS results, bool_or(reason = 'cancelled') AS cancelled
FROM onpoint_runs.results
WHERE run_id = $1 AND stage = ANY ($2::text[]) AND status = 'dead'
GROUP BY dataset
"""

_DEAD = """
SELECT dataset, batch_id, stage, coalesce(reason, 'handler') AS reason
FROM onpoint_runs.results
WHERE run_id = $1 AND stage = ANY ($2::text[]) AND status = 'dead'
ORDER BY dataset, sequence, stage
LIMIT $3
"""

_MISSING = """
SELECT r.dataset, m.url, m.reason, count(*) OVER () AS total
FROM onpoint_runs.results r, jsonb_to_recordset(r.missing) AS m (url text, reason text)
WHERE r.run_id = $1
ORDER BY r.dataset, r.sequence
LIMIT $2
"""

_MISSING_PAGES = """
SELECT dataset, sum(jsonb_array_length(missing))::bigint AS pages
FROM onpoint_runs.results
WHERE run_id = $1 AND missing <> '[]'
GROUP BY dataset
"""

# Of a dataset that lost batches at several stages one behind the crawler: what is dead there, its missing pages tell.
_CAUSES = """
SELECT DISTINCT ON (dataset) dataset, stage, coalesce(reason, 'handler') AS reason, left(detail, 300) AS detail
FROM onpoint_runs.results
WHERE run_id = $1 AND stage = ANY ($2::text[]) AND status = 'dead'
ORDER BY dataset, stage = 'crawler', sequence, stage
"""

# Of a dead batch all rows were refused for its reason.
_REJECTIONS = """
SELECT dataset, reason, sum(rows)::bigint AS rows
FROM (
    SELECT r.dataset, counted.key AS reason, counted.value::bigint AS rows
    FROM onpoint_runs.results r, jsonb_each_text(r.rejected_by_reason) AS counted
    WHERE r.run_id = $1 AND r.stage = 'processor' AND r.status = 'done'
    UNION ALL
    SELECT r.dataset, coalesce(r.reason, 'handler'),
        coalesce(CASE WHEN r.stage = 'processor' THEN p.rows_read END, r.rows_read, 0)
    FROM onpoint_runs.results r
    LEFT JOIN onpoint_runs.results p ON p.batch_id = r.batch_id AND p.stage = 'crawler' AND r.stage = 'processor'
    WHERE r.run_id = $1 AND r.stage IN ('crawler', 'processor') AND r.status = 'dead'
) AS refused
GROUP BY dataset, reason
HAVING sum(rows) > 0
ORDER BY dataset, reason
"""

# A column is absent from a run where it is from each of its batches that have records. Of batches without an accepted
# row only the reasons tell whether there were some.
_ABSENT = """
WITH processed AS (
    SELECT dataset, absent, unnamed FROM onpoint_runs.results
    WHERE run_id = $1 AND stage = 'processor' AND status = 'done'
        AND (rows_accepted > 0 OR absent <> '{}' OR rejected_by_reason ?| ARRAY['no_key', 'type', 'range', 'too_large'])
)
SELECT p.dataset, name AS column_name,
    ARRAY (
        SELECT DISTINCT field FROM processed q, unnest(q.unnamed) AS field WHERE q.dataset = p.dataset
    ) AS unnamed
FROM processed p, unnest(p.absent) AS name
GROUP BY p.dataset, name
HAVING count(*) = (SELECT count(*) FROM processed q WHERE q.dataset = p.dataset)
ORDER BY p.dataset, name
"""

_REMARKS = """
SELECT DISTINCT dataset, sentence
FROM onpoint_runs.results, unnest(string_to_array(detail, E'\\n')) AS sentence
WHERE run_id = $1 AND stage IN ('crawler', 'processor') AND status = 'done' AND detail IS NOT NULL
ORDER BY dataset, sentence
LIMIT $2
"""

_PARTLY_CONVERTED = """
SELECT dataset, written, count(*) AS batches
FROM (
    SELECT r.dataset,
        ARRAY (SELECT a.format FROM jsonb_to_recordset(r.artifacts) AS a (format text) ORDER BY 1) AS written
    FROM onpoint_runs.results r
    WHERE r.run_id = $1 AND r.stage = 'converter' AND r.stage = ANY ($2::text[]) AND r.status = 'done'
        AND r.detail IS NOT NULL
) AS results
GROUP BY dataset, written
ORDER BY dataset, written
"""


async def facts_of(connection: Connection, run_id: str) -> RunFacts | None:
    """As of the transaction's snapshot. None: in it a batch is not at its end."""
    head = await connection.fetchrow(_HEAD, run_id)
    if head is None or not await connection.fetchval(IS_DRAINED, run_id):
        return None
    plans = await connection.fetch(_PLANS, run_id)
    stages = stages_of(head["from_stage"])
    totals = await connection.fetch(_TOTALS, run_id, stages)
    files = await connection.fetch(_FILES, run_id, stages)
    dead_counts = await connection.fetch(_DEAD_BATCHES, run_id, stages)
    dead = await connection.fetch(_DEAD, run_id, stages, LISTED) if dead_counts else []
    missing = await connection.fetch(_MISSING, run_id, LISTED)
    missing_pages = await connection.fetch(_MISSING_PAGES, run_id) if missing else []
    causes = await connection.fetch(_CAUSES, run_id, stages) if dead_counts else []
    rejections = await connection.fetch(_REJECTIONS, run_id)
    absent = await connection.fetch(_ABSENT, run_id)
    remarks = await connection.fetch(_REMARKS, run_id, LISTED)
    partly = await connection.fetch(_PARTLY_CONVERTED, run_id, stages)
    return RunFacts(
        run_id=run_id,
        requested_at=head["requested_at"],
        started_at=head["started_at"],
        from_stage=head["from_stage"],
        refused=head["refused"],
        plans={row["dataset"]: DatasetPlan(row["batches_planned"], row["rows_promised"]) for row in plans},
        totals=tuple(StageTotals(**row) for row in totals),
        files=tuple(Files(**row) for row in files),
        dead_batches={row["dataset"]: row["batches"] for row in dead_counts},
        cancelled=any(row["cancelled"] for row in dead_counts),
        dead=tuple(DeadBatch(**row) for row in dead),
        dead_total=sum(row["results"] for row in dead_counts),
        missing=tuple(
            MissingRecords(dataset=row["dataset"], url=row["url"], reason=row["reason"]) for row in missing
        ),
        missing_total=missing[0]["total"] if missing else 0,
        formats=None if head["formats"] is None else tuple(head["formats"]),
        partly_converted=tuple(
            PartlyConverted(row["dataset"], tuple(row["written"]), row["batches"]) for row in partly
        ),
        rejections=tuple(Rejections(**row) for row in rejections),
        causes={row["dataset"]: Cause(row["stage"], row["reason"], row["detail"]) for row in causes},
        missing_pages={row["dataset"]: row["pages"] for row in missing_pages},
        absent=tuple(
            AbsentColumn(row["dataset"], row["column_name"], tuple(row["unnamed"])) for row in absent
        ),
        remarks=tuple(Remark(**row) for row in remarks),
    )
