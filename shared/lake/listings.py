"""`_datasets/<dataset>.json`: the files of the lake that count for a dataset, in one document that is replaced whole."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncpg
import orjson

from shared import crashpoints
from shared.errors import PermanentError
from shared.events.ids import derive
from shared.lake import statements
from shared.observability.logging import get_logger
from shared.postgres.errors import translated
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore

FILES_PER_FETCH = 500

REST_S = 60.0
"""The pause after a listing could not be written for a reason other than an outage."""

log = get_logger()


class DatasetListings:
    """Writes the listings that are behind. Raises `DatabaseUnavailableError` and `StorageUnavailableError` in an outage."""

    def __init__(self, pool: asyncpg.Pool, lake: ObjectStore) -> None:
        self._pool = pool
        self._lake = lake
        self._resting: dict[str, float] = {}

    async def catch_up(self) -> int:
        """Writes what is behind, and finds the compactions that every listing names by then; the number of listings."""
        with translated():
            due = [row["dataset"] for row in await self._pool.fetch(statements.DUE)]
        now_s = asyncio.get_running_loop().time()
        self._resting = {dataset: until for dataset, until in self._resting.items() if until > now_s}
        for dataset in due:
            try:
                if dataset not in self._resting:
                    await self.write(dataset)
            except PermanentError:
                log.exception("dataset_listing_failed", dataset=dataset)
                self._resting[dataset] = now_s + REST_S
        with translated():
            await self._pool.execute(statements.MARK_LISTED)
        return len(due)

    async def write(self, dataset: str) -> None:
        """Writes the listing as of now. Two that write one take turns, so that none puts an older one last."""
        lock = int.from_bytes(bytes.fromhex(derive("listing of", dataset)[:16]), "big", signed=True)
        with scratch_folder() as folder:
            file = folder / "listing.json"
            with translated():
                connection = await self._pool.acquire()
            try:
                with translated():
                    await connection.execute("SELECT pg_advisory_lock($1)", lock)
                    changes = await connection.fetchval(statements.HEAD, dataset)
                    await self._assemble(connection, dataset, changes or 0, file)
                await self._lake.put(keys.dataset_listing_key(dataset), file)
                crashpoints.reach("lake.listed")
                with translated():
                    await connection.execute(statements.LISTING_WRITTEN, dataset, changes)
            finally:
                with translated():
                    await self._pool.release(connection)  # which unlocks it
        log.info("dataset_listed", dataset=dataset, version=changes)

    async def _assemble(
        self, connection: asyncpg.pool.PoolConnectionProxy, dataset: str, version: int, target: Path
    ) -> None:
        """Memory is one fetch. Both statements see one moment."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            superseded = {
                row["run_id"]: row["superseded_by"]
                for row in await connection.fetch(statements.SUPERSEDED, dataset)
            }
            head = {"dataset": dataset, "version": version, "superseded": superseded}
            with target.open("wb") as file:
                file.write(orjson.dumps(head)[:-1] + b',"objects":[')
                separator = b""
                async for row in connection.cursor(statements.CURRENT, dataset, prefetch=FILES_PER_FETCH):
                    if row["is_settled"]:
                        file.write(separator + orjson.dumps(self._entry(dataset, row)))
                        separator = b","
                file.write(b"]}")

    def _entry(self, dataset: str, row: asyncpg.Record) -> dict[str, Any]:
        key = self._lake.key(row["uri"], f"{dataset}/")
        return {
            "uri": row["uri"],
            "rows": row["rows"],
            "bytes": row["bytes"],
            "sha256": row["sha256"],
            "partition": dict(partition_of(key)),
            "runs": orjson.loads(row["runs"] or "{}"),
            "compaction": row["compaction"],
            "latest": row["is_latest"],
        }


def partition_of(key: str) -> Iterator[tuple[str, str]]:
    """The columns that the folders of a key name, with their values."""
    for part in key.split("/")[1:-1]:
        name, found, value = part.partition("=")
        if found:
            yield name, unquote(value)
