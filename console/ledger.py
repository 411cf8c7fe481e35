"""The run ledger as clients may read it: quality's views in `onpoint_runs`, nothing else."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg

from console.errors import CommandError
from console.words import did_you_mean
from shared.events.stages import Stage

TIMEOUT_S = 10.0
RECENT = 50
"""So many runs are looked through for one with a similar id."""

_RUN = """
SELECT run_id, status, reason, requested_by, requested_at, started_at, finished_at, datasets, replay_of,
    superseded_by
"""
_ROWS = """, (SELECT sum((summary ->> 'rows_accepted')::bigint)::bigint
    FROM jsonb_each(completed -> 'datasets') AS entry(name, summary)) AS rows_accepted
"""


class LedgerUnavailableError(CommandError):
    """The database does not answer, or has no ledger yet."""


@dataclass(frozen=True, slots=True)
class RunRow:
    run_id: str
    status: str
    """`running`, or how it ended."""
    reason: str | None
    requested_by: str | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    datasets: tuple[str, ...]
    replay_of: str | None = None
    superseded_by: str | None = None
    """The latest replay of it that delivered something."""
    rows_accepted: int | None = None
    """Once it has ended."""
    completed: dict[str, Any] | None = None
    """The value of `run.completed`; not read where runs are listed."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    dataset: str
    stage: Stage
    batches_planned: int | None
    rows_planned: int | None
    batches_done: int
    batches_dead: int
    rows: int


class Ledger:
    """A connection for reading. Every method raises `LedgerUnavailableError` when the database does not answer."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str) -> Self:
        """Raises `LedgerUnavailableError` where PostgreSQL cannot be reached."""
        with _explained():
            return cls(
                await asyncpg.connect(
                    dsn,
                    timeout=TIMEOUT_S,
                    command_timeout=TIMEOUT_S,
                    server_settings={
                        "application_name": "onpoint_console",
                        "timezone": "UTC",
                        "default_transaction_read_only": "on",
                    },
                )
            )

    def close(self) -> None:
        """At once: there is nothing to flush, and a server that is away would keep a polite goodbye waiting."""
        self._connection.terminate()

    async def runs(self, limit: int) -> list[RunRow]:
        """The latest runs, latest first."""
        with _explained():
            rows = await self._connection.fetch(
                f"{_RUN} {_ROWS} FROM onpoint_runs.v_runs ORDER BY requested_at DESC, run_id LIMIT $1",
                limit,
            )
        return [RunRow(**_values(row)) for row in rows]

    async def run(self, run_id: str) -> RunRow | None:
        """None: the ledger does not know it."""
        with _explained():
            row = await self._connection.fetchrow(
                f"{_RUN} {_ROWS}, completed FROM onpoint_runs.v_runs WHERE run_id = $1",
                run_id,
            )
        if row is None:
            return None
        values = _values(row)
        if values["completed"] is not None:
            values["completed"] = json.loads(values["completed"])
        return RunRow(**values)

    async def require_run(self, run_id: str) -> RunRow:
        """Raises `CommandError` if the ledger does not know the run."""
        run = await self.run(run_id)
        if run is None:
            raise unknown_run(run_id, await self.runs(RECENT))
        return run

    async def progress(self, run_id: str) -> list[StageProgress]:
        with _explained():
            rows = await self._connection.fetch(
                "SELECT dataset, stage, batches_planned, rows_planned, batches_done, batches_dead, rows "
                "FROM onpoint_runs.v_progress WHERE run_id = $1",
                run_id,
            )
        return [StageProgress(**row) for row in rows]

    async def done_stages(self, batch_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Batch and stage of every result that is done."""
        with _explained():
            rows = await self._connection.fetch(
                "SELECT batch_id, stage FROM onpoint_runs.v_results "
                "WHERE batch_id = ANY($1::text[]) AND status = 'done'",
                batch_ids,
            )
        return [(row["batch_id"], row["stage"]) for row in rows]


@asynccontextmanager
async def open_ledger(dsn: str) -> AsyncIterator[Ledger]:
    ledger = await Ledger.connect(dsn)
    try:
        yield ledger
    finally:
        ledger.close()


def unknown_run(run_id: str, others: Iterable[RunRow]) -> CommandError:
    """Says that there is no such run, and which of the others may be meant."""
    meant = did_you_mean(run_id, [run.run_id for run in others])
    return CommandError(f"there is no run {run_id}{meant or ': see `onpoint runs`'}")


def _values(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "datasets": tuple(row["datasets"] or ())}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise LedgerUnavailableError("the database has no run ledger yet: run `onpoint migrate`") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise LedgerUnavailableError(f"the run ledger in PostgreSQL cannot be read: {text}") from error
