"""The batches that were accepted, the objects they are assigned to, and the state of both."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from services.s3sink.adapters import statements
from services.s3sink.adapters.claim import Claim, claim_object
from services.s3sink.adapters.files import object_of
from services.s3sink.adapters.record_codec import pack, unpack
from services.s3sink.domain import LakeObject, Limits, Pending, object_name, pack_objects, strip_for_storage
from shared import crashpoints
from shared.bus.messages import Record
from shared.events.decode import decode_event, encode
from shared.events.models import Artifact, BatchManifest, RunSealed
from shared.postgres.errors import translated


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch that was accepted."""

    status: str
    """pending, assigned, empty or dead."""
    batch: BatchManifest
    result: BatchManifest | None
    """Of a dead batch."""
    published: LakeObject | None
    """The object with the batch, once its result is published."""


@dataclass(frozen=True, slots=True)
class DeadBatch:
    """A dead batch that was accepted before, and whose result is not published yet."""

    result: BatchManifest
    record: Record | None
    """The record with the batch; None for a batch accepted before records were stored."""


class SinkRepository:
    """Every method raises `DatabaseUnavailableError` in an outage. One connection at a time per call."""

    def __init__(self, pool: asyncpg.Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    async def add_batch(self, batch: BatchManifest, clean: Artifact, record: Record) -> bool:
        """False: it was accepted before. `record` is its Kafka record."""
        status = "pending" if clean.rows else "empty"
        return await self._insert(
            strip_for_storage(batch, clean), clean.rows, clean.bytes, status, None, pack(record)
        )

    async def commit_dead(self, dead: BatchManifest) -> bool:
        """Commits that a batch which was not accepted is dead. False: it was accepted, and nothing is changed."""
        crashpoints.reach("s3sink.death")
        return await self._insert(dead, 0, 0, "dead", dead, None)

    async def clear_failure(self, batch_id: str) -> None:
        """A batch that is not dead is left as it is."""
        with translated():
            await self._pool.execute(statements.CLEAR_FAILURE, batch_id)

    async def find(self, batch_id: str) -> BatchState | None:
        """The state of a batch. None: it was not accepted."""
        with translated():
            row = await self._pool.fetchrow(statements.FIND, batch_id)
        if row is None:
            return None
        published = None
        if row["is_published"]:
            published = object_of(row)
        result = None if row["result"] is None else _manifest(row["result"])
        return BatchState(row["status"], _manifest(row["manifest"]), result, published)

    async def seal(self, run: RunSealed) -> None:
        """Idempotent: the first seal of a run counts."""
        with translated():
            await self._pool.execute(
                statements.SEAL, run.run_id, list(run.batches), list(run.batches.values())
            )

    async def due(self, run_id: str | None = None, dataset: str | None = None) -> list[tuple[str, str]]:
        """Runs and datasets to call `assign` for: all, or the given one."""
        with translated():
            rows = await self._pool.fetch(
                statements.DUE,
                self._limits.target_bytes,
                self._limits.age_s,
                run_id,
                dataset,
                self._limits.target_rows,
            )
        return [(row["run_id"], row["dataset"]) for row in rows]

    async def assign(self, run_id: str, dataset: str) -> int:
        """Assigns what can be written now; returns the number of new objects.

        Rows that another replica has locked are left to it, or to a later call.
        """
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                is_complete = await connection.fetchval(statements.IS_COMPLETE, run_id, dataset)
                ratio = await connection.fetchval(statements.RATIO, dataset)
                rows = await connection.fetch(statements.LOCK_PENDING, run_id, dataset, self._limits.age_s)
                pending = [Pending(row["batch_id"], row["bytes"], row["is_old"], row["rows"]) for row in rows]
                objects = pack_objects(pending, self._limits, ratio=ratio, is_complete=is_complete)
                for batches in objects:
                    batch_ids = [batch.batch_id for batch in batches]
                    name = object_name(run_id, dataset, batch_ids)
                    size = sum(batch.clean_bytes for batch in batches)
                    await connection.execute(
                        statements.MAKE_OBJECT,
                        name,
                        run_id,
                        dataset,
                        rows[0]["requested_at"],
                        batch_ids,
                        size,
                    )
                    await connection.execute(statements.PUT_INTO_OBJECT, name, batch_ids)
        if objects:
            crashpoints.reach("s3sink.assigned")
        return len(objects)

    @asynccontextmanager
    async def claim(self, backing_off: Collection[str]) -> AsyncIterator[Claim | None]:
        """The oldest unfinished object that no other process has claimed, or None. `backing_off` are left alone.

        The claim is a session's advisory lock: it ends with the block or with this process. It only saves work;
        two that finish one object do the same.
        """
        with translated():
            connection = await self._pool.acquire()
        try:
            yield await claim_object(connection, backing_off)
        finally:
            with translated():
                await self._pool.release(connection)

    async def unpublished_dead_batches(self) -> list[DeadBatch]:
        with translated():
            rows = await self._pool.fetch(statements.UNPUBLISHED_DEAD)
        return [
            DeadBatch(_manifest(row["result"]), None if row["record"] is None else unpack(row["record"]))
            for row in rows
        ]

    async def mark_dead_published(self, batch_ids: Sequence[str]) -> None:
        crashpoints.reach("s3sink.told")
        with translated():
            await self._pool.execute(statements.MARK_DEAD_PUBLISHED, batch_ids)

    async def waiting(self) -> tuple[int, int]:
        """Objects that are assigned and not published, and batches that are not assigned; of all replicas."""
        with translated():
            row = await self._pool.fetchrow(statements.WAITING)
        return (0, 0) if row is None else (row["objects"], row["batches"])

    async def _insert(
        self,
        batch: BatchManifest,
        rows: int,
        size: int,
        status: str,
        result: BatchManifest | None,
        record: str | None,
    ) -> bool:
        with translated():
            inserted = await self._pool.fetchval(
                statements.ADD_BATCH,
                batch.batch_id,
                batch.run_id,
                batch.dataset,
                batch.sequence,
                batch.requested_at,
                rows,
                size,
                encode(batch).decode(),
                status,
                None if result is None else encode(result).decode(),
                record,
            )
        return bool(inserted)


def _manifest(value: str) -> BatchManifest:
    return decode_event(BatchManifest, value.encode())
