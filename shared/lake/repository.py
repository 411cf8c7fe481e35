"""The compactions of a dataset in PostgreSQL, from their plan to the moment when every listing names what they made."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from shared.events.ids import derive
from shared.lake import statements
from shared.lake.rules import LakeFile, Plan
from shared.lake.tables.lock import table_lock
from shared.postgres.errors import translated
from shared.storage.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A compaction that an earlier call began."""

    name: str
    state: str
    uri: str | None
    bytes: int | None
    rows: int | None
    latest: bool
    written_at: datetime | None
    sources: tuple[str, ...]
    """Their URIs."""


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """A file that counts."""

    uri: str
    rows: int
    bytes: int
    sha256: str
    runs: Mapping[str, int]
    """Rows by run."""
    is_settled: bool
    compaction: str | None
    is_latest: bool


def lake_files(lake: ObjectStore, dataset: str, current: Sequence[CurrentFile]) -> list[LakeFile]:
    """As the rules need them. Raises `PermanentError` (`schema`) for one that is not in the dataset's folder."""
    return [
        LakeFile(
            lake.key(file.uri, f"{dataset}/"), file.uri, file.rows, file.bytes, file.sha256, file.is_settled
        )
        for file in current
    ]


class CompactionRepository:
    """Every method raises `DatabaseUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def datasets(self) -> list[str]:
        """Those of which the lake has a file."""
        with translated():
            return [row["dataset"] for row in await self._pool.fetch(statements.DATASETS)]

    @asynccontextmanager
    async def locked(self, dataset: str) -> AsyncIterator[bool]:
        """Whether this process is the one that compacts the dataset, until the block ends. It only saves work."""
        key = int.from_bytes(bytes.fromhex(derive("compaction of", dataset)[:16]), "big", signed=True)
        with translated():
            connection = await self._pool.acquire()
        try:
            with translated():
                is_mine = await connection.fetchval("SELECT pg_try_advisory_lock($1)", key)
            yield bool(is_mine)
        finally:
            with translated():
                await self._pool.release(connection)  # which unlocks it

    @asynccontextmanager
    async def table_locked(self, dataset: str) -> AsyncIterator[None]:
        """Whoever is inside is the one that commits to the dataset's table, until the block ends."""
        with translated():
            connection = await self._pool.acquire()
        try:
            async with table_lock(connection, dataset):
                yield
        finally:
            with translated():
                await self._pool.release(connection)

    async def current(self, dataset: str) -> list[CurrentFile]:
        """The files that count, by their URIs. Files of a compaction that goes on are among them."""
        with translated():
            rows = await self._pool.fetch(statements.CURRENT, dataset)
        return [_current(row) for row in rows]

    async def ratio(self, dataset: str) -> float | None:
        """Bytes after compactions by bytes before; None: the dataset had none."""
        with translated():
            found: float | None = await self._pool.fetchval(statements.RATIO, dataset)
        return found

    async def waiting(self, dataset: str, grace_hours: int) -> tuple[int, int]:
        """Objects, and their bytes, that are replaced and stay for the grace time."""
        with translated():
            [found] = await self._pool.fetch(statements.WAITING, dataset, grace_hours)
        return found["objects"], found["bytes"]

    async def replaced(self, dataset: str) -> list[str]:
        """The URIs of files in whose place an object of a compaction counts; a sweep may have taken them."""
        with translated():
            return [row["uri"] for row in await self._pool.fetch(statements.REPLACED, dataset)]

    async def superseded(self, dataset: str) -> list[str]:
        """The runs whose rows of the dataset a replay has brought again."""
        with translated():
            return [row["run_id"] for row in await self._pool.fetch(statements.SUPERSEDED, dataset)]

    async def unfinished(self, dataset: str) -> list[Unfinished]:
        with translated():
            rows = await self._pool.fetch(statements.UNFINISHED, dataset)
        return [Unfinished(**{**row, "sources": tuple(row["sources"])}) for row in rows]

    async def plan(self, plan: Plan) -> bool:
        """False: one of the sources is that of another compaction, and nothing is changed."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                planned = await connection.fetchval(
                    statements.PLAN, plan.name, plan.dataset, plan.folder, plan.latest
                )
                if planned is None:
                    return False
                columns = zip(*((s.uri, s.rows, s.bytes, s.sha256) for s in plan.sources), strict=True)
                claimed = await connection.fetch(statements.CLAIM_SOURCES, plan.name, *map(list, columns))
                if len(claimed) < len(plan.sources):
                    await connection.execute(statements.UNDO, plan.name)
                    return False
        return True

    async def undo(self, name: str) -> None:
        """Gives the sources of a compaction that is not committed free."""
        with translated():
            await self._pool.execute(statements.UNDO, name)

    async def written(self, name: str, file: LakeFile, runs: Mapping[str, int]) -> datetime | None:
        """The object is durable, since when. None: the compaction was undone meanwhile."""
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                found: datetime | None = await connection.fetchval(
                    statements.WRITTEN, name, file.uri, file.rows, file.bytes, file.sha256
                )
                if found is not None:
                    await connection.execute(statements.RUNS, name, list(runs), list(runs.values()))
        return found

    async def commit(self, name: str) -> bool:
        """From here on the object counts and its sources do not, and every listing that named them is behind.

        False: the compaction was undone, or committed, meanwhile.
        """
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                dataset = await connection.fetchval(statements.COMMIT, name)
                if dataset is None:
                    return False
                # Runs before their datasets, as quality locks them.
                await connection.execute(statements.MARK_RUNS_BEHIND, name)
                await connection.execute(statements.MARK_CHANGED, [dataset])
        return True

    async def mark_listed(self) -> int:
        """Compactions whose every listing is current; returns how many became so."""
        with translated():
            return len(await self._pool.fetch(statements.MARK_LISTED))


def _current(row: asyncpg.Record) -> CurrentFile:
    return CurrentFile(**{**row, "runs": orjson.loads(row["runs"])})
