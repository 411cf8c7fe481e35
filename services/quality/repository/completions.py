"""What a drained run came to, in PostgreSQL: the facts, the verdict, and the record that decided."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.quality.domain.books import DatasetPlan, Files, RunFacts, StageTotals
from services.quality.domain.listing import ListedFile
from shared.bus.record import Record
from shared.events.decode import decode_event, encode
from shared.events.models import DeadBatch, MissingRecords, RunCompleted
from shared.postgres.errors import translated

LISTED = 500
"""Dead batches and missing pages that an event names; it says how many more there are."""

FILES_PER_FETCH = 500

_RUN = """
SELECT r.drained_state IS NOT NULL AS drained, c.topic, c."partition", c."offset"
FROM onpoint_runs.runs r
LEFT JOIN onpoint_runs.completions c USING (run_id)
WHERE r.run_id = $1
"""

_VERDICT = "SELECT value FROM onpoint_runs.verdicts WHERE run_id = $1"

_DECIDE = "INSERT INTO onpoint_runs.verdicts (run_id, value) VALUES ($1, $2::json) ON CONFLICT DO NOTHING RETURNING true"

_COMPLETE = """
WITH completed AS (
    INSERT INTO onpoint_runs.completions (run_id, topic, "partition", "offset")
    VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
    RETURNING run_id
)
UPDATE onpoint_runs.runs r
SET status = $5, reason = $6, finished_at = $7
FROM completed
WHERE r.run_id = completed.run_id
RETURNING true
"""

_HEAD = "SELECT requested_at, started_at, refused FROM onpoint_runs.runs WHERE run_id = $1"

_PLANS = """
SELECT d.dataset, d.batches_planned, d.rows_planned
FROM onpoint_runs.runs r
JOIN onpoint_runs.datasets d ON d.run_id = r.run_id AND d.dataset = ANY (r.datasets)
WHERE r.run_id = $1
ORDER BY array_position(r.datasets, d.dataset)
"""

# What is lost with a dead batch is what the stage before handed over: the dead stage itself may not know.
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
    sum(r.rows_superseded)::bigint AS superseded
FROM onpoint_runs.results r
LEFT JOIN onpoint_runs.results p
    ON p.batch_id = r.batch_id
    AND p.stage = CASE WHEN r.status = 'done' OR r.stage = 'crawler' THEN NULL
        WHEN r.stage = 'processor' THEN 'crawler' ELSE 'processor' END
WHERE r.run_id = $1
GROUP BY r.dataset, r.stage, r.status
"""

_FILES = """
SELECT dataset, stage, format, count(*) AS count, sum(bytes)::bigint AS bytes
FROM (
    SELECT DISTINCT ON (r.dataset, r.stage, a.uri) r.dataset, r.stage, a.uri, a.format, a.bytes
    FROM onpoint_runs.results r, jsonb_to_recordset(r.artifacts) AS a (uri text, format text, bytes bigint)
    WHERE r.run_id = $1 AND r.stage IN ('converter', 's3sink') AND r.status = 'done'
) AS files
GROUP BY dataset, stage, format
ORDER BY dataset, stage, format
"""

_DEAD_BATCHES = """
SELECT dataset, count(DISTINCT batch_id) AS batches, count(*) AS results, bool_or(reason = 'cancelled') AS cancelled
FROM onpoint_runs.results
WHERE run_id = $1 AND status = 'dead'
GROUP BY dataset
"""

_DEAD = """
SELECT dataset, batch_id, stage, coalesce(reason, 'handler') AS reason
FROM onpoint_runs.results
WHERE run_id = $1 AND status = 'dead'
ORDER BY dataset, sequence, stage
LIMIT $2
"""

_MISSING = """
SELECT r.dataset, m.url, m.reason, count(*) OVER () AS total
FROM onpoint_runs.results r, jsonb_to_recordset(r.missing) AS m (url text, reason text)
WHERE r.run_id = $1
ORDER BY r.dataset, r.sequence
LIMIT $2
"""

_LISTED_FILES = """
SELECT DISTINCT ON (r.dataset, r.stage, a.uri) r.dataset, r.stage, a.uri, a.format, a.rows, a.bytes, a.sha256
FROM onpoint_runs.results r,
    jsonb_to_recordset(r.artifacts) AS a (uri text, format text, rows bigint, bytes bigint, sha256 text)
WHERE r.run_id = $1 AND r.stage IN ('converter', 's3sink') AND r.status = 'done'
ORDER BY r.dataset, r.stage DESC, a.uri
"""


@dataclass(frozen=True, slots=True)
class Decider:
    """The record by which a run was completed."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: Record) -> "Decider":
        return cls(record.topic, record.partition, record.offset)


@dataclass(frozen=True, slots=True)
class RunState:
    drained: bool
    completed_by: Decider | None


class CompletionRepository:
    """Raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def state(self, run_id: str) -> RunState | None:
        with translated():
            row = await self._pool.fetchrow(_RUN, run_id)
        if row is None:
            return None
        decider = None if row["topic"] is None else Decider(row["topic"], row["partition"], row["offset"])
        return RunState(row["drained"], decider)

    async def verdict(self, run_id: str) -> RunCompleted | None:
        with translated():
            value = await self._pool.fetchval(_VERDICT, run_id)
        return None if value is None else decode_event(RunCompleted, value.encode())

    async def decide(self, completed: RunCompleted) -> RunCompleted:
        """Keeps the verdict unless there is one; returns the one that stays."""
        with translated():
            first = await self._pool.fetchval(_DECIDE, completed.run_id, encode(completed).decode())
        winner = None if first else await self.verdict(completed.run_id)
        return winner or completed

    async def complete(self, completed: RunCompleted, decider: Decider) -> bool:
        """Ends the run in the ledger. False: another record did it before."""
        with translated():
            done = await self._pool.fetchval(
                _COMPLETE,
                completed.run_id,
                decider.topic,
                decider.partition,
                decider.offset,
                completed.status,
                completed.reason,
                completed.finished_at,
            )
        return bool(done)

    async def clock(self) -> datetime:
        """The server's time: the same clock that dated the run's start."""
        with translated():
            now: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return now

    async def facts(self, run_id: str) -> RunFacts:
        """All that the verdict is made of. Of a drained run it does not change any more."""
        with translated():
            async with self._pool.acquire() as connection:
                head = await connection.fetchrow(_HEAD, run_id)
                if head is None:
                    raise LookupError(run_id)
                plans = await connection.fetch(_PLANS, run_id)
                totals = await connection.fetch(_TOTALS, run_id)
                files = await connection.fetch(_FILES, run_id)
                deaths = await connection.fetch(_DEAD_BATCHES, run_id)
                dead = await connection.fetch(_DEAD, run_id, LISTED) if deaths else []
                missing = await connection.fetch(_MISSING, run_id, LISTED)
        return RunFacts(
            run_id=run_id,
            requested_at=head["requested_at"],
            started_at=head["started_at"],
            refused=head["refused"],
            plans={row["dataset"]: DatasetPlan(row["batches_planned"], row["rows_planned"]) for row in plans},
            totals=tuple(StageTotals(**row) for row in totals),
            files=tuple(Files(**row) for row in files),
            dead_batches={row["dataset"]: row["batches"] for row in deaths},
            cancelled=any(row["cancelled"] for row in deaths),
            dead=tuple(DeadBatch(**row) for row in dead),
            dead_total=sum(row["results"] for row in deaths),
            missing=tuple(
                MissingRecords(dataset=row["dataset"], url=row["url"], reason=row["reason"])
                for row in missing
            ),
            missing_total=missing[0]["total"] if missing else 0,
        )

    async def files(self, run_id: str) -> AsyncIterator[ListedFile]:
        """Distinct files by dataset, lake objects before exports. Memory is one fetch."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                async for row in connection.cursor(_LISTED_FILES, run_id, prefetch=FILES_PER_FETCH):
                    yield ListedFile(**row)
