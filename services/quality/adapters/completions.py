"""The completion of a drained run in PostgreSQL: the verdict, and the record that decided."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.quality.adapters.facts import facts_of
from services.quality.domain.row_accounting import RunFacts
from shared.bus.messages import Record
from shared.events.decode import decode_event, encode
from shared.events.models import RunCompleted
from shared.postgres.errors import translated

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
    listing_written = greatest(r.listing_written, $8), listing_changes = r.listing_changes + $9,
    rows_crawled = $10, rows_accepted = $11, rows_rejected = $12, rows_loaded = $13, rows_stored = $14
FROM completed
WHERE r.run_id = completed.run_id
RETURNING true, onpoint_lake.mark_changed(r.datasets)
"""

_REPLACE_VERDICT = """
INSERT INTO onpoint_runs.verdicts (run_id, value) VALUES ($1, $2::json)
ON CONFLICT (run_id) DO UPDATE SET value = excluded.value, decided_at = clock_timestamp()
"""

_REPUBLISH_DRAINED = """
UPDATE onpoint_runs.runs SET drained_state = 'assigned', drained_at = clock_timestamp()
WHERE run_id = $1 AND status IS NULL
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
                return await facts_of(connection, run_id)


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
        *(
            sum(getattr(dataset, name) for dataset in completed.datasets.values())
            for name in ("rows_crawled", "rows_accepted", "rows_rejected", "rows_loaded", "rows_stored")
        ),
    )
