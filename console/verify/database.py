"""What PostgreSQL has, read through the views that are made for clients."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from console.client.errors import ClientError
from shared.events.topology import Stage
from shared.postgres.identifiers import quote
from shared.postgres.refusals import error_text, refusal_of

TIMEOUT_S = 300.0
LISTING_LOOKS = 25
LISTING_PAUSE_S = 0.2
"""Quality looks once a second for listings that are behind."""

_LISTINGS_BEHIND = "SELECT EXISTS (SELECT FROM onpoint_lake.dataset_listings WHERE written < changes)"

_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

LAST_STAGES: tuple[Stage, ...] = ("converter", "loader", "s3sink")

ENDED = frozenset({"succeeded", "partial", "failed", "cancelled"})

COUNTS = ("read", "accepted", "rejected", "deduplicated", "loaded", "superseded", "filtered", "added")


@dataclass(frozen=True, slots=True)
class File:
    """A file that a result names."""

    uri: str
    format: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a batch at a stage, by one of the places that record it."""

    run_id: str
    dataset: str
    sequence: int
    batch_id: str
    stage: Stage
    status: str
    reason: str | None
    counts: tuple[int | None, ...]
    """In the order of `COUNTS`; `read` is None where the record could not be decoded."""
    files: tuple[File, ...]
    missing: int = 0
    is_redriven: bool = False
    promised: int | None = None
    repeated: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    """Empty where the result was made before reasons were counted."""
    absent: tuple[str, ...] = ()

    def __getitem__(self, count: str) -> int:
        return self.counts[COUNTS.index(count)] or 0

    @property
    def name(self) -> str:
        return f"batch {self.batch_id} ({self.run_id}/{self.dataset}/{self.sequence}) at {self.stage}"


@dataclass(frozen=True, slots=True)
class Run:
    """As the ledger has it. `completed` is the value of its `run.completed`; None: nothing was decided yet."""

    run_id: str
    status: str
    requested_at: datetime
    finished_at: datetime | None
    datasets: tuple[str, ...]
    completed: dict[str, Any] | None
    replay_of: str | None
    superseded_by: str | None
    planned: dict[str, int | None] = field(default_factory=dict)
    """Batches per dataset, by its plan."""
    started_at: datetime | None = None
    """None: it was requested, and no service has taken it up."""
    from_stage: str | None = None
    """Where a replay begins."""

    @property
    def last_stages(self) -> tuple[Stage, ...]:
        """The stages behind the processor that the run has: a replay from one of them has no other."""
        return tuple(stage for stage in LAST_STAGES if self.from_stage in {None, "processor", stage})

    def has(self, stage: str) -> bool:
        return stage not in LAST_STAGES or stage in self.last_stages

    @property
    def order(self) -> tuple[datetime, str]:
        """Of two runs with one key, the greater one's row stays."""
        return self.requested_at, self.run_id


@dataclass(frozen=True, slots=True)
class LakeObject:
    """By the sink's own table."""

    object_name: str
    run_id: str
    dataset: str
    requested_at: datetime
    batch_ids: tuple[str, ...]
    state: str
    files: Mapping[File, frozenset[str]]
    """With the batches that have rows in each; several where the dataset has partitions of its own."""

    def files_of(self, batch_id: str) -> set[File]:
        return {file for file, batch_ids in self.files.items() if batch_id in batch_ids}


@dataclass(frozen=True, slots=True)
class Compaction:
    """Objects of the lake that became one."""

    name: str
    dataset: str
    folder: str
    latest: bool
    state: str
    file: File | None
    listed_at: datetime | None
    sources: tuple[str, ...]
    runs: Mapping[str, int]
    """Rows in the object, by run."""

    @property
    def counts(self) -> bool:
        """Whether its object is there in the place of its sources."""
        return self.state in {"committed", "listed"}


@dataclass(frozen=True, slots=True)
class LakeBatch:
    """By the sink's own table."""

    batch_id: str
    run_id: str
    dataset: str
    status: str
    rows: int
    object_name: str | None
    unannounced: bool


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """By the loader's own table."""

    batch_id: str
    run_id: str
    dataset: str
    status: str
    rows_loaded: int
    rows_superseded: int


@dataclass(frozen=True, slots=True)
class CombinedExports:
    """What became of the combined exports of a dataset in a format, lately."""

    run_id: str
    dataset: str
    format: str
    status: str
    files: tuple[File, ...]


@dataclass(slots=True)
class AuditRows:
    """All that PostgreSQL has of the runs that are checked."""

    runs: dict[str, Run]
    others: frozenset[str]
    """Runs that exist and are not checked."""
    results: list[Result]
    loaded: list[LoadedBatch]
    objects: list[LakeObject]
    stored: list[LakeBatch]
    unmatched: frozenset[tuple[str, str]]
    """Batch and stage of failures that no plan contains, of any run."""
    combined: list[CombinedExports] = field(default_factory=list)
    compactions: list[Compaction] = field(default_factory=list)
    """Of all runs."""

    @property
    def everything(self) -> bool:
        """Whether no run is left out, so that what belongs to none of them can be found."""
        return not self.others


async def wait_for_listings(connection: asyncpg.Connection) -> None:
    """Until the listing of each dataset has what its table says, seconds at most: it follows the end of a run."""
    with as_client_errors():
        for _ in range(LISTING_LOOKS):
            if not await connection.fetchval(_LISTINGS_BEHIND):
                return
            await asyncio.sleep(LISTING_PAUSE_S)


async def read_audit_rows(connection: asyncpg.Connection, run_ids: Sequence[str]) -> AuditRows:
    """Of these runs, or of all. Raises `ClientError` for a run that is not there."""
    with as_client_errors():
        rows = await connection.fetch(
            "SELECT run_id, status, requested_at, started_at, finished_at, datasets, completed, replay_of, "
            "superseded_by, from_stage "
            "FROM onpoint_runs.v_runs ORDER BY requested_at, run_id"
        )
        known = {row["run_id"] for row in rows}
        if unknown := sorted(set(run_ids) - known):
            raise ClientError(f"there is no run {unknown[0]}: see `onpoint runs`")
        chosen = list(dict.fromkeys(run_ids)) or sorted(known)
        runs = {row["run_id"]: _run(row) for row in rows if row["run_id"] in set(chosen)}
        for row in await connection.fetch(
            "SELECT DISTINCT run_id, dataset, batches_planned FROM onpoint_runs.v_progress WHERE run_id = ANY ($1)",
            chosen,
        ):
            runs[row["run_id"]].planned[row["dataset"]] = row["batches_planned"]
        return AuditRows(
            runs,
            frozenset(known - set(chosen)),
            [_result(row) for row in await _of(connection, "onpoint_runs.v_audit_results", chosen)],
            [LoadedBatch(**row) for row in await _of(connection, "onpoint_loader.v_audit_batches", chosen)],
            [_object(row) for row in await _of(connection, "onpoint_lake.v_audit_objects", chosen)],
            [LakeBatch(**row) for row in await _of(connection, "onpoint_lake.v_audit_batches", chosen)],
            frozenset(
                (row["batch_id"], row["stage"])
                for row in await connection.fetch(
                    "SELECT batch_id, stage FROM onpoint_runs.v_unmatched_failures"
                )
            ),
            [_combined(row) for row in await _of(connection, "onpoint_runs.v_combined_exports", chosen)],
            [
                _compaction(row)
                for row in await connection.fetch(
                    "SELECT * FROM onpoint_lake.v_audit_compactions ORDER BY name"
                )
            ],
        )


async def table_columns(connection: asyncpg.Connection, table: str) -> dict[str, str]:
    """PostgreSQL's types of the table's columns by name; empty where the table does not exist."""
    with as_client_errors():
        rows = await connection.fetch(_COLUMNS, f"public.{quote(table)}")
    return {row["attname"]: row["type"] for row in rows}


async def all_files(connection: asyncpg.Connection) -> frozenset[str]:
    """Every file that a result of any run names."""
    with as_client_errors():
        return frozenset(row["uri"] for row in await connection.fetch("SELECT uri FROM onpoint_runs.v_files"))


@contextmanager
def as_client_errors() -> Iterator[None]:
    """Turns every error of PostgreSQL into `ClientError`."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise ClientError(f"the database is behind: run `onpoint migrate` ({error})") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise ClientError(refusal_of(error) or f"PostgreSQL cannot be read: {error_text(error)}") from error


async def _of(connection: asyncpg.Connection, view: str, run_ids: Sequence[str]) -> list[asyncpg.Record]:
    return list(await connection.fetch(f"SELECT * FROM {view} WHERE run_id = ANY ($1)", run_ids))  # noqa: S608 - a view of this product


def _run(row: asyncpg.Record) -> Run:
    completed = None if row["completed"] is None else json.loads(row["completed"])
    return Run(**{**row, "datasets": tuple(row["datasets"] or ()), "completed": completed})


def _files(row: asyncpg.Record) -> tuple[File, ...]:
    return tuple(
        File(entry["uri"], entry["format"], entry["rows"], entry["bytes"], entry["sha256"])
        for entry in json.loads(row["artifacts"])
    )


def _combined(row: asyncpg.Record) -> CombinedExports:
    return CombinedExports(row["run_id"], row["dataset"], row["format"], row["status"], _files(row))


def _result(row: asyncpg.Record) -> Result:
    files = _files(row)
    return Result(
        row["run_id"], row["dataset"], row["sequence"], row["batch_id"], row["stage"], row["status"], row["reason"],
        tuple(row[f"rows_{name}"] for name in COUNTS), files, len(json.loads(row["missing"])),
        row["revived_at"] is not None, row.get("promised"), row.get("repeated") or 0,
        json.loads(row.get("rejected_by_reason") or "{}"), tuple(row.get("absent") or ()),
    )  # fmt: skip


def _object(row: asyncpg.Record) -> LakeObject:
    return LakeObject(
        row["object_name"], row["run_id"], row["dataset"], row["requested_at"], tuple(row["batch_ids"]), row["state"],
        dict(_files_of_object(row)),
    )  # fmt: skip


def _files_of_object(row: asyncpg.Record) -> Iterator[tuple[File, frozenset[str]]]:
    if row["uri"] is not None:
        file = File(row["uri"], "parquet", row["rows"], row["bytes"], row["sha256"])
        yield file, frozenset(row["batch_ids"])
    for one in json.loads(row.get("files") or "[]"):
        file = File(one["uri"], "parquet", one["rows"], one["bytes"], one["sha256"])
        yield file, frozenset(one["batch_ids"])


def _compaction(row: asyncpg.Record) -> Compaction:
    file = None
    if row["uri"] is not None:
        file = File(row["uri"], "parquet", row["rows"], row["bytes"], row["sha256"])
    return Compaction(
        row["name"], row["dataset"], row["folder"], row["latest"], row["state"], file, row["listed_at"],
        tuple(row["sources"]), json.loads(row["runs"] or "{}"),
    )  # fmt: skip
