"""The run ledger as clients may read it: quality's views in `onpoint_runs`, nothing else."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg

from console.client import postgres
from console.client.errors import ClientError
from console.formatting import did_you_mean
from shared.events.topology import Stage
from shared.postgres.identifiers import quote
from shared.postgres.refusals import refusal_of
from shared.progress.estimate import StageRecord

TIMEOUT_S = 10.0
QUARANTINE_FORMAT = "quarantine.jsonl.zst"
RECENT = 50
"""Runs among which one with a similar id is looked for."""

_RUN = """
SELECT run_id, status, reason, requested_by, requested_at, started_at, finished_at, datasets, replay_of,
    superseded_by, rows_accepted
"""
_PROGRESS = """
SELECT p.dataset, p.stage, p.batches_planned, p.rows_planned, p.batches_done, p.batches_dead, p.rows,
    clock_timestamp() AS read_at, t.begun_at, t.half_at, coalesce(t.half_batches, 0) AS half_batches,
    coalesce(t.half_rows, 0) AS half_rows, t.last_at, coalesce(t.delay_s, 0) AS delay_s, w.since AS waiting_since
FROM onpoint_runs.v_progress p
LEFT JOIN onpoint_runs.v_stage_times t
    ON t.run_id = $1 AND t.run_id = p.run_id AND t.dataset = p.dataset AND t.stage = p.stage
LEFT JOIN onpoint_runs.v_waiting w
    ON w.run_id = $1 AND w.run_id = p.run_id AND w.dataset = p.dataset AND w.stage = p.stage
WHERE p.run_id = $1
"""


class LedgerUnavailableError(ClientError):
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
    """None: no service has taken it up."""
    finished_at: datetime | None
    datasets: tuple[str, ...]
    replay_of: str | None = None
    superseded_by: str | None = None
    """The latest replay of it that delivered something."""
    rows_accepted: int | None = None
    """Once it has ended."""
    completed: dict[str, Any] | None = None
    """The value of `run.completed`; not read where runs are listed."""

    @property
    def is_taken_up(self) -> bool:
        """Whether a service works on it, or did."""
        return self.started_at is not None or self.status != "running"

    @property
    def state(self) -> str:
        """Its status; `asked` for a run that no service has taken up."""
        return self.status if self.is_taken_up else "asked"


@dataclass(frozen=True, slots=True)
class StageProgress:
    dataset: str
    stage: Stage
    batches_planned: int | None
    rows_planned: int | None
    batches_done: int
    batches_dead: int
    rows: int
    read_at: datetime | None = None
    """When the ledger was read, by its clock."""
    begun_at: datetime | None = None
    half_at: datetime | None = None
    half_batches: int = 0
    half_rows: int = 0
    last_at: datetime | None = None
    delay_s: float = 0.0
    waiting_since: datetime | None = None
    """Of the oldest batch that waits for the stage; None: none does."""

    @property
    def record(self) -> StageRecord:
        """What an estimate is made of."""
        return StageRecord(
            self.stage,
            self.batches_planned,
            self.rows_planned,
            self.batches_done + self.batches_dead,
            self.rows,
            self.batches_dead,
            self.begun_at,
            self.half_at,
            self.half_batches,
            self.half_rows,
            self.last_at,
            self.delay_s,
        )

    @property
    def lag_s(self) -> float:
        """Age of the oldest batch that waits for the stage."""
        if self.waiting_since is None or self.read_at is None:
            return 0.0
        return max(0.0, (self.read_at - self.waiting_since).total_seconds())


@dataclass(frozen=True, slots=True)
class QuarantineFile:
    """A file in staging with the rows that a stage refused of one batch."""

    dataset: str
    stage: Stage
    batch_id: str
    uri: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CombinedExports:
    """What became of a dataset's combined exports in a format."""

    dataset: str
    format: str
    status: str
    """`done`, or `failed`: the files are those of an earlier try, if there are any."""
    detail: str | None
    batches: int
    files: int
    manifest: str | None


class Ledger:
    """A connection for reading. Every method raises `LedgerUnavailableError` when the database does not answer."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str) -> Self:
        """Raises `LedgerUnavailableError` where PostgreSQL cannot be reached."""
        return cls(await connect_for_reading(dsn))

    def close(self) -> None:
        """At once: there is nothing to flush, and an orderly close would wait for a server that is away."""
        self._connection.terminate()

    async def runs(self, limit: int) -> list[RunRow]:
        """The latest runs, latest first."""
        with as_client_errors():
            rows = await self._connection.fetch(
                f"{_RUN} FROM onpoint_runs.v_runs ORDER BY requested_at DESC, run_id LIMIT $1",
                limit,
            )
        return [RunRow(**_values(row)) for row in rows]

    async def run(self, run_id: str) -> RunRow | None:
        """None: the ledger does not know it."""
        with as_client_errors():
            row = await self._connection.fetchrow(
                f"{_RUN}, completed FROM onpoint_runs.v_runs WHERE run_id = $1",
                run_id,
            )
        if row is None:
            return None
        values = _values(row)
        if values["completed"] is not None:
            values["completed"] = json.loads(values["completed"])
        return RunRow(**values)

    async def require_run(self, run_id: str) -> RunRow:
        """Raises `ClientError` if the ledger does not know the run."""
        run = await self.run(run_id)
        if run is None:
            raise unknown_run(run_id, await self.runs(RECENT))
        return run

    async def progress(self, run_id: str) -> list[StageProgress]:
        """Reads every result of the run: 0.3 s for 2,000 batches on a busy machine."""
        with as_client_errors():
            rows = await self._connection.fetch(_PROGRESS, run_id)
        return [StageProgress(**row) for row in rows]

    async def rejections(self, run_id: str) -> dict[str, dict[str, int]]:
        """Refused rows of each dataset by their reason, as far as the run is."""
        with as_client_errors():
            rows = await self._connection.fetch(
                "SELECT r.dataset, e.key AS reason, sum(e.value::bigint)::bigint AS rows "
                "FROM onpoint_runs.v_audit_results r, jsonb_each_text(r.rejected_by_reason) AS e "
                "WHERE r.run_id = $1 GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
                run_id,
            )
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            found.setdefault(row["dataset"], {})[row["reason"]] = row["rows"]
        return found

    async def combined_exports(self, run_id: str) -> list[CombinedExports]:
        """By dataset and format; none before the run has ended."""
        with as_client_errors():
            rows = await self._connection.fetch(
                "SELECT dataset, format, status, detail, batches, jsonb_array_length(artifacts) AS files, manifest "
                "FROM onpoint_runs.v_combined_exports WHERE run_id = $1 ORDER BY dataset, format",
                run_id,
            )
        return [CombinedExports(**row) for row in rows]

    async def quarantine(
        self, run_id: str, datasets: Sequence[str], reason: str | None
    ) -> AsyncGenerator[QuarantineFile]:
        """The files with the run's refused rows, in the order of its batches. Memory is a page of them.

        `reason`: those that may have a row with it; a result of an earlier version does not name its reasons.
        """
        with as_client_errors():
            async with self._connection.transaction(readonly=True):
                async for row in self._connection.cursor(
                    "SELECT r.dataset, r.stage, r.batch_id, a.uri, a.rows, a.bytes, a.sha256 "
                    "FROM onpoint_runs.v_audit_results r, jsonb_to_recordset(r.artifacts) "
                    "AS a (uri text, format text, rows bigint, bytes bigint, sha256 text) "
                    "WHERE r.run_id = $1 AND r.dataset = ANY($2::text[]) AND a.format = $3 "
                    "AND ($4::text IS NULL OR r.rejected_by_reason = '{}' OR r.rejected_by_reason ? $4) "
                    "ORDER BY r.dataset, r.sequence, r.stage DESC, a.uri",
                    run_id,
                    datasets,
                    QUARANTINE_FORMAT,
                    reason,
                ):
                    yield QuarantineFile(**row)

    async def columns(self, table: str) -> frozenset[str]:
        """The columns of a dataset's table; empty where the table does not exist."""
        with as_client_errors():
            rows = await self._connection.fetch(
                "SELECT attname FROM pg_attribute "
                "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
                f"public.{quote(table)}",
            )
        return frozenset(row["attname"] for row in rows)

    async def column_types(self, table: str) -> dict[str, str]:
        """PostgreSQL's types of the columns of a dataset's table, in its order; empty where the table does not exist."""
        with as_client_errors():
            rows = await self._connection.fetch(
                "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
                "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                f"public.{quote(table)}",
            )
        return {row["name"]: row["type"] for row in rows}

    async def done_stages(self, batch_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Batch and stage of every result that is done."""
        with as_client_errors():
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


def unknown_run(run_id: str, others: Iterable[RunRow]) -> ClientError:
    """The error for a run that does not exist; it names runs with similar ids."""
    meant = did_you_mean(run_id, [run.run_id for run in others])
    return ClientError(f"there is no run {run_id}{meant or ': see `onpoint runs`'}")


def _values(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "datasets": tuple(row["datasets"] or ())}


async def connect_for_reading(dsn: str) -> asyncpg.Connection:
    """Raises `LedgerUnavailableError` where PostgreSQL cannot be reached. End it by `terminate`."""
    with as_client_errors(dsn):
        return await postgres.connect(dsn, timeout_s=TIMEOUT_S, is_read_only=True)


@contextmanager
def as_client_errors(dsn: str = "") -> Iterator[None]:
    """The driver's errors as `LedgerUnavailableError`. `dsn`: what was connected to, for the hint."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise LedgerUnavailableError("the database has no run ledger yet: run `onpoint migrate`") from error
    except asyncpg.UndefinedColumnError as error:
        raise LedgerUnavailableError(
            "the run ledger is of an earlier version: run `onpoint migrate`"
        ) from error
    except (OSError, TimeoutError) as error:
        raise LedgerUnavailableError(
            refusal_of(error, dsn)
            or "PostgreSQL, where the run ledger is, does not answer: is it running? See `onpoint ps`, or "
            f"ONPOINT_POSTGRES_DSN if it is elsewhere ({_error_text(error)})"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise LedgerUnavailableError(
            refusal_of(error, dsn) or f"the run ledger in PostgreSQL cannot be read: {_error_text(error)}"
        ) from error


def _error_text(error: Exception) -> str:
    return str(error) or "no answer in time"
