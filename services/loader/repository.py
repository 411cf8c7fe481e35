"""The ledger of loaded batches and the data tables, always in one transaction."""

from collections.abc import AsyncIterator, Sequence

import asyncpg

from services.loader import statements
from services.loader.domain import Merge, counts_of, result_of
from shared import crashpoints
from shared.batches.batches import CODE_VERSION
from shared.datasets.model import Dataset
from shared.events.decode import decode_event, encode
from shared.events.models import BatchManifest
from shared.postgres.errors import translated


class LoadRepository:
    """Every method raises `DatabaseUnavailableError` in an outage, `PermanentError` for what PostgreSQL refuses."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, batch_id: str) -> BatchManifest | None:
        """The committed result of a batch, done or dead."""
        with translated():
            result = await self._pool.fetchval(statements.FIND, batch_id)
        return None if result is None else decode_event(BatchManifest, result.encode())

    async def commit_dead(self, dead: BatchManifest) -> bool:
        """False: the batch has a result already, which stands."""
        with translated():
            return bool(await self._pool.fetchval(statements.CLAIM, *_claim(dead), encode(dead).decode()))

    async def forget_death(self, batch_id: str) -> None:
        """A batch that is not dead is left as it is."""
        with translated():
            await self._pool.execute(statements.FORGET_DEATH, batch_id)

    async def load(
        self,
        batch: BatchManifest,
        dataset: Dataset,
        columns: Sequence[str],
        body: AsyncIterator[bytes] | None,
    ) -> BatchManifest | None:
        """All rows and the ledger's row, or nothing. None: someone else was first, and nothing is changed.

        `body` is a binary COPY of `columns`; None for a batch without rows. The ledger's row is taken after the
        COPY, so that a process that was paused in it keeps nobody waiting.
        """
        with translated():
            async with self._pool.acquire() as connection, connection.transaction():
                result = await self._load(connection, batch, dataset, columns, body)
                crashpoints.reach("loader.merged")
        crashpoints.reach("loader.committed")
        return result

    async def _load(
        self,
        connection: asyncpg.pool.PoolConnectionProxy,
        batch: BatchManifest,
        dataset: Dataset,
        columns: Sequence[str],
        body: AsyncIterator[bytes] | None,
    ) -> BatchManifest | None:
        rows = 0
        if body is not None:
            await connection.execute(statements.create_incoming(dataset))
            status = await connection.copy_to_table(
                statements.INCOMING, source=body, columns=list(columns), format="binary"
            )
            rows = int(status.removeprefix("COPY "))
        crashpoints.reach("loader.copied")
        if not await connection.fetchval(statements.CLAIM, *_claim(batch), "{}"):
            return None  # what was copied vanishes with the transaction
        merge = Merge(written=0, same_run=0)
        if rows:
            [found] = await connection.fetch(statements.merge(dataset), batch.produced_at)
            merge = Merge(written=found["written"], same_run=found["same_run"])
        counts = counts_of(rows, merge)
        loaded_at = await connection.fetchval("SELECT now()")
        result = result_of(batch, counts, produced_at=loaded_at, code_version=CODE_VERSION)
        await connection.execute(
            statements.RECORD, batch.batch_id, counts.loaded, counts.superseded, encode(result).decode()
        )
        return result


def _claim(batch: BatchManifest) -> tuple[str, str, str, str]:
    return batch.batch_id, batch.run_id, batch.dataset, batch.status
