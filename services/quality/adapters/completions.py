"""The completion of a drained run in PostgreSQL: the facts, the verdict, and the record that decided."""

from dataclasses import dataclass
from datetime import datetime

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
from shared.bus.messages import Record
from shared.events.decode import decode_event, encode
from shared.events.models import DeadBatch, MissingRecords, RunCompleted
from shared.events.topology import stages_of
from shared.postgres.errors import translated

LISTED = 500
"""Dead batches and missing pages that an event names; it gives the number of the others."""

_RUN = """
SELECT r.requested_at, r.started_at, r.drained_state IS NOT NULL AS drained, c.topic, c."partition", c."offset"
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c USING (run_id)
WHERE r.run_id = $1
"""

_VERDICT = "SELECT value FROM onpoint_runs.verdicts WHERE run_id = $1"

_DECIDE = "INSERT INTO onpoint_runs.verdicts (run_id, value) VALUES ($1, $2::json) ON CONFLICT DO NOTHING RETURNING true"

# A replay that delivered something to the lake supersedes its original; of several, the one that was requested last.
_COMPLETE = """
WITH completed AS (
    INSERT INTO onpoint_runs.completions (run_id, topic, "partition", "offset")
    VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
    RETURNING run_id
), superseded AS (
    UPDATE onpoint_runs.runs old
    SET superseded_by = r.run_id, listing_changes = old.listing_changes + 1
    FROM completed JOIN onpoint_runs.runs r USING (run_id)
    WHERE $5 IN ('succeeded', 'partial')
      AND coalesce(r.from_stage, 's3sink') IN ('processor', 's3sink')
      AND old.run_id = r.replay_of
      AND old.run_id <> r.run_id
      AND NOT EXISTS (
        SELECT FROM onpoint_runs.runs later
        WHERE later.run_id = old.superseded_by AND (later.requested_at, later.run_id) > (r.requested_at, r.run_id)
      )
)
UPDATE onpoint_runs.runs r
SET status = $5, reason = $6, finished_at = $7,
    listing_written = greatest(r.listing_written, $8), listing_changes = r.listing_changes + $9
FROM completed
WHERE r.run_id = completed.run_id
RETURNING true
"""

_REPLACE_VERDICT = """
INSERT INTO onpoint_runs.verdicts (run_id, value) VALUES ($1, $2::json)
ON CONFLICT (run_id) DO UPDATE SET value = excluded.value, decided_at = clock_timestamp()
"""

_REPUBLISH_DRAINED = """
UPDATE onpoint_runs.runs SET drained_state = 'assigned', drained_at = clock_timestamp()
WHERE run_id = $1 AND status IS NULL
"""

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
WHERE run_id = $1 AND stage = 'crawler' AND status = 'done' AND detail IS NOT NULL
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


@dataclass(frozen=True, slots=True)
class DecidingRecord:
    """The record by which a run was completed."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: Record) -> "DecidingRecord":
        return cls(record.topic, record.partition, record.offset)


@dataclass(frozen=True, slots=True)
class RunState:
    requested_at: datetime
    started_at: datetime
    drained: bool
    completed_by: DecidingRecord | None


class CompletionRepository:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def state(self, run_id: str) -> RunState | None:
        with translated():
            row = await self._pool.fetchrow(_RUN, run_id)
        if row is None:
            return None
        deciding = (
            None if row["topic"] is None else DecidingRecord(row["topic"], row["partition"], row["offset"])
        )
        return RunState(row["requested_at"], row["started_at"], row["drained"], deciding)

    async def verdict(self, run_id: str) -> RunCompleted | None:
        with translated():
            value = await self._pool.fetchval(_VERDICT, run_id)
        return None if value is None else decode_event(RunCompleted, value.encode())

    async def decide(self, completed: RunCompleted) -> RunCompleted:
        """Stores the verdict unless there is one; returns the stored one."""
        with translated():
            first = await self._pool.fetchval(_DECIDE, completed.run_id, encode(completed).decode())
        winner = None if first else await self.verdict(completed.run_id)
        return winner or completed

    async def complete(self, completed: RunCompleted, deciding: DecidingRecord, listed: int) -> bool:
        """Ends the run in the ledger, its listing written as of change `listed`. False: another record did it before."""
        with translated():
            done = await self._pool.fetchval(_COMPLETE, *_completion(completed, deciding, listed, changes=0))
        return bool(done)

    async def fail(self, completed: RunCompleted, deciding: DecidingRecord) -> bool:
        """As `complete`, with a verdict that replaces the one that could not be carried out, and no listing yet."""
        with translated():
            async with self._pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(_REPLACE_VERDICT, completed.run_id, encode(completed).decode())
                done = await connection.fetchval(_COMPLETE, *_completion(completed, deciding, 0, changes=1))
                await (transaction.commit() if done else transaction.rollback())
        return bool(done)

    async def republish_drained(self, run_id: str) -> None:
        """Resets the milestone, so that the loop publishes `run.drained` again."""
        with translated():
            await self._pool.execute(_REPUBLISH_DRAINED, run_id)

    async def clock(self) -> datetime:
        """The server's time: the same clock that dated the run's start."""
        with translated():
            now: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return now

    async def facts(self, run_id: str) -> RunFacts | None:
        """All that the verdict is made of, at one moment. None: at this moment a batch is not at its end."""
        with translated():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
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
            plans={
                row["dataset"]: DatasetPlan(row["batches_planned"], row["rows_promised"]) for row in plans
            },
            totals=tuple(StageTotals(**row) for row in totals),
            files=tuple(Files(**row) for row in files),
            dead_batches={row["dataset"]: row["batches"] for row in dead_counts},
            cancelled=any(row["cancelled"] for row in dead_counts),
            dead=tuple(DeadBatch(**row) for row in dead),
            dead_total=sum(row["results"] for row in dead_counts),
            missing=tuple(
                MissingRecords(dataset=row["dataset"], url=row["url"], reason=row["reason"])
                for row in missing
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


def _completion(
    completed: RunCompleted, deciding: DecidingRecord, listed: int, *, changes: int
) -> tuple[object, ...]:
    return (
        completed.run_id,
        deciding.topic,
        deciding.partition,
        deciding.offset,
        completed.status,
        completed.reason,
        completed.finished_at,
        listed,
        changes,
    )
