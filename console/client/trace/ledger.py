"""What PostgreSQL knows of a row: its table, the run ledger, and which files of the lake count."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from console.client.ledger import QUARANTINE_FORMAT, as_client_errors, connect_for_reading
from console.client.trace.key import Key
from console.client.trace.model import Batch, ExportFile, File, Origin, Run, StageResult
from shared.datasets.model import Dataset
from shared.events.topology import Stage
from shared.lake.statements import CURRENT
from shared.postgres.identifiers import quote

_STAGES: tuple[Stage, ...] = ("crawler", "processor", "converter", "loader", "s3sink")

_RESULTS = """
SELECT batch_id, stage, run_id, sequence, status, reason, artifacts
FROM onpoint_runs.v_audit_results WHERE batch_id = ANY($1::text[])
"""

_RUNS = """
SELECT run_id, status, requested_at, requested_by, replay_of, superseded_by
FROM onpoint_runs.v_runs WHERE run_id = ANY($1::text[])
"""

_COMBINED = """
SELECT run_id, format, artifacts FROM onpoint_runs.v_combined_exports
WHERE run_id = ANY($1::text[]) AND dataset = $2 AND jsonb_array_length(artifacts) > 0 ORDER BY format
"""

_REFUSALS = """
SELECT r.run_id, r.batch_id, r.stage, r.sequence, q.requested_at, a.uri, a.rows, a.bytes, a.sha256
FROM (
    SELECT * FROM onpoint_runs.v_refusals
    WHERE dataset = $1 AND stage <> 'crawler' AND ($3::text IS NULL OR run_id = $3)
    ORDER BY recorded_at DESC LIMIT $4
) AS r
JOIN onpoint_runs.v_runs q USING (run_id),
jsonb_to_recordset(r.artifacts) AS a (uri text, format text, rows bigint, bytes bigint, sha256 text)
WHERE a.format = $2
ORDER BY r.recorded_at DESC
"""

_BATCHES = """
SELECT batch_id, sequence FROM onpoint_runs.v_results
WHERE run_id = $1 AND dataset = $2 AND stage = 'crawler' AND status = 'done' ORDER BY sequence
"""


@dataclass(frozen=True, slots=True)
class TableRow:
    origin: Origin
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the lake that counts."""

    uri: str
    rows: int
    bytes: int
    runs: frozenset[str]
    compaction: str | None


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file in staging with the refused rows of a batch."""

    run_id: str
    batch_id: str
    stage: str
    sequence: int
    requested_at: datetime
    uri: str
    rows: int
    bytes: int
    sha256: str


class TraceLedger:
    """Every method raises `LedgerUnavailableError` when the database does not answer. Each is a few index look-ups."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def table_row(self, dataset: Dataset, key: Key) -> TableRow | None:
        """None where there is none, or no table yet."""
        types = {column.name: column.value_type for column in dataset.columns}
        terms = []
        for place, name in enumerate(dataset.key, 1):
            text = (
                f"${place}::text"
                if types[name].name != "duration"
                else f"(${place}::text || ' microseconds')"
            )
            terms.append(f"{quote(name)} = CAST({text} AS {types[name].postgres})")
        statement = (
            "SELECT _requested_at, _run_id, _source_position, _batch_id, etl_processed_at "  # noqa: S608 - quoted
            f"FROM public.{quote(dataset.table)} WHERE {' AND '.join(terms)}"
        )
        with as_client_errors():
            try:
                rows = await self._fetch(statement, *(key.texts[name] for name in dataset.key))
            except (asyncpg.UndefinedTableError, asyncpg.DataError):
                return None
        if not rows:
            return None
        [row] = rows
        return TableRow(
            Origin(row["_requested_at"], row["_run_id"], row["_source_position"], row["_batch_id"]),
            row["etl_processed_at"],
        )

    async def lake_files(self, dataset: str) -> list[StoredFile]:
        """Those that count, the latest folders first."""
        with as_client_errors():
            rows = await self._fetch(CURRENT, dataset)
        return [
            StoredFile(
                row["uri"],
                row["rows"],
                row["bytes"],
                frozenset(json.loads(row["runs"] or "{}")),
                row["compaction"],
            )
            for row in reversed(rows)
        ]

    async def refused_files(self, dataset: str, run_id: str | None, limit: int) -> list[RefusedFile]:
        """The latest first."""
        with as_client_errors():
            rows = await self._fetch(_REFUSALS, dataset, QUARANTINE_FORMAT, run_id, limit)
        return [RefusedFile(**row) for row in rows]

    async def batches(self, batch_ids: Collection[str]) -> dict[str, Batch]:
        """By id; without those that the ledger does not know."""
        with as_client_errors():
            rows = await self._fetch(_RESULTS, list(batch_ids))
        found: defaultdict[str, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            found[row["batch_id"]].append(row)
        return {batch_id: _batch(batch_id, results) for batch_id, results in found.items()}

    async def crawled_batches(self, run_id: str, dataset: str) -> list[tuple[str, int]]:
        """Id and sequence of the batches that a run crawled, in order."""
        with as_client_errors():
            rows = await self._fetch(_BATCHES, run_id, dataset)
        return [(row["batch_id"], row["sequence"]) for row in rows]

    async def runs(self, run_ids: Collection[str]) -> dict[str, Run]:
        with as_client_errors():
            rows = await self._fetch(_RUNS, list(run_ids))
        return {row["run_id"]: Run(**row) for row in rows}

    async def combined_exports(self, run_ids: Collection[str], dataset: str) -> dict[str, list[ExportFile]]:
        """By run."""
        with as_client_errors():
            rows = await self._fetch(_COMBINED, list(run_ids), dataset)
        found: defaultdict[str, list[ExportFile]] = defaultdict(list)
        for row in rows:
            files = json.loads(row["artifacts"])
            found[row["run_id"]] += [
                ExportFile(file["uri"], row["format"], file["rows"], len(files)) for file in files
            ]
        return found

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """One after the other, whoever asks."""
        async with self._turn:
            return await self._connection.fetch(statement, *arguments)


@asynccontextmanager
async def open_trace_ledger(dsn: str) -> AsyncIterator[TraceLedger]:
    """Raises `LedgerUnavailableError` where PostgreSQL cannot be reached."""
    connection = await connect_for_reading(dsn)
    try:
        yield TraceLedger(connection)
    finally:
        connection.terminate()


def exports_of(batch: Batch, combined: Mapping[str, Sequence[ExportFile]]) -> tuple[ExportFile, ...]:
    """The files that have a batch's rows for people: its own, then those of its run."""
    own = [ExportFile(file.uri, file.format, file.rows) for file in batch.files if file.stage == "converter"]
    return (*own, *combined.get(batch.run_id, ()))


def _batch(batch_id: str, results: Sequence[asyncpg.Record]) -> Batch:
    results = sorted(results, key=lambda row: _STAGES.index(row["stage"]))
    return Batch(
        batch_id,
        results[0]["run_id"],
        results[0]["sequence"],
        tuple(StageResult(row["stage"], row["status"], row["reason"]) for row in results),
        tuple(_files(results)),
    )


def _files(results: Iterable[asyncpg.Record]) -> Iterable[File]:
    for row in results:
        artifacts: list[dict[str, Any]] = json.loads(row["artifacts"])
        for file in artifacts:
            yield File(row["stage"], file["uri"], file["format"], file["rows"], file["bytes"], file["sha256"])
