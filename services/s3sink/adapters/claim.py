"""One object on its way `assigned → written → announced`, claimed by one process."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.s3sink.adapters import statements
from services.s3sink.adapters.files import columns_of, object_of
from services.s3sink.domain import LakeFile, LakeObject, object_name
from shared import crashpoints
from shared.events.decode import decode_event, encode
from shared.events.models import BatchManifest
from shared.observability.logging import get_logger
from shared.postgres.errors import DatabaseUnavailableError, StatementFailedError, translated

STALE_AFTER_S = 30.0
"""The age at which another process may claim the object though the session lives: its process may be paused.

Writing twice is harmless.
"""

RENEW_EVERY_S = 10.0
"""The interval of renewals while the object is written: two may be late before the claim counts as stale."""

LOOKED_AT = 32
"""Objects looked at per claim; more than the replicas and their writers."""

log = get_logger()


@dataclass(slots=True)
class Claim:
    """Methods raise `DatabaseUnavailableError` in an outage.

    Those that return a bool: False where the object went another way meanwhile, and nothing is changed.
    """

    connection: asyncpg.pool.PoolConnectionProxy
    name: str
    run_id: str
    dataset: str
    requested_at: datetime
    batch_ids: tuple[str, ...]
    lake: LakeObject | None
    """None: it is not written yet."""
    claimed_at: datetime
    is_lost: bool = False
    """Another process has claimed the object."""
    written_at_s: float = -math.inf
    """By `time.monotonic()`: when this process began to make it `written`."""

    @contextlib.asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renews the claim while the block runs, so that no other process claims the object during a slow write.

        The block must not use the connection.
        """
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew_until(over))
        try:
            yield
        finally:
            over.set()
            await renewing

    async def _renew_until(self, over: asyncio.Event) -> None:
        """Ends early where PostgreSQL is away: the next commit raises it."""
        while not self.is_lost:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), RENEW_EVERY_S)
                return
            try:
                with translated():
                    at = await self.connection.fetchval(statements.RENEW, self.name, self.claimed_at)
            except (DatabaseUnavailableError, StatementFailedError) as error:
                log.warning("claim_not_renewed", why=str(error))
                return
            self.is_lost = at is None
            self.claimed_at = at or self.claimed_at

    async def batches(self) -> list[BatchManifest]:
        """In the order of the object; fewer than `batch_ids` where the object went another way meanwhile."""
        with translated():
            rows = await self.connection.fetch(statements.BATCHES_OF_OBJECT, self.name)
        found = {row["batch_id"]: row["manifest"] for row in rows}
        return [
            decode_event(BatchManifest, found[batch_id].encode())
            for batch_id in self.batch_ids
            if batch_id in found
        ]

    async def written(self, files: tuple[LakeFile, ...]) -> bool:
        self.written_at_s = time.monotonic()
        with translated():
            written_at = await self.connection.fetchval(statements.WRITTEN, self.name, *columns_of(files))
        if written_at is None:
            return False
        self.lake = LakeObject(files, written_at)
        crashpoints.reach("s3sink.written")
        return True

    async def mark_published(self) -> None:
        with translated():
            await self.connection.execute(statements.MARK_PUBLISHED, self.name)
        crashpoints.reach("s3sink.announced")

    async def mark_failed(self, dead: BatchManifest) -> bool:
        """One batch is dead, and its result is yet to be published; the others wait for an object again."""
        crashpoints.reach("s3sink.unusable")
        with translated():
            async with self.connection.transaction():
                if not await self.connection.fetchval(statements.UNDO, self.name):
                    return False
                await self.connection.execute(statements.MARK_FAILED, dead.batch_id, encode(dead).decode())
                await self.connection.execute(statements.WAIT_AGAIN, self.name)
        return True

    async def split(self, batches: list[BatchManifest]) -> bool:
        """Each batch in an object of its own, so that one that cannot be written takes no other with it."""
        with translated():
            async with self.connection.transaction():
                if not await self.connection.fetchval(statements.UNDO, self.name):
                    return False
                for batch in batches:
                    name = object_name(self.run_id, self.dataset, [batch.batch_id])
                    [clean] = batch.artifacts
                    await self.connection.execute(
                        statements.MAKE_OBJECT,
                        name,
                        self.run_id,
                        self.dataset,
                        self.requested_at,
                        [batch.batch_id],
                        clean.bytes,
                    )
                    await self.connection.execute(statements.PUT_INTO_OBJECT, name, [batch.batch_id])
        return True


async def claim_object(
    connection: asyncpg.pool.PoolConnectionProxy, backing_off: Collection[str]
) -> Claim | None:
    """Locks the oldest object that is free. Releasing the connection to its pool unlocks it."""
    with translated():
        candidates = await connection.fetch(
            statements.UNFINISHED, STALE_AFTER_S, list(backing_off), LOOKED_AT
        )
        for name, is_stale in candidates:
            is_locked = await connection.fetchval(statements.TRY_LOCK, _lock_key(name))
            if not is_locked and not is_stale:
                continue
            row = await connection.fetchrow(statements.CLAIM, name, STALE_AFTER_S, not is_locked)
            if row is not None:
                return _claim(connection, row)
    return None


def _lock_key(name: str) -> int:
    """The first 64 bits of the name, which is a hash."""
    return int.from_bytes(bytes.fromhex(name[:16]), "big", signed=True)


def _claim(connection: asyncpg.pool.PoolConnectionProxy, row: asyncpg.Record) -> Claim:
    lake = object_of(row) if row["state"] == "written" else None
    return Claim(
        connection=connection,
        name=row["object_name"],
        run_id=row["run_id"],
        dataset=row["dataset"],
        requested_at=row["requested_at"],
        batch_ids=tuple(row["batch_ids"]),
        lake=lake,
        claimed_at=row["claimed_at"],
    )
