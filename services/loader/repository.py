"""The ledger of loaded batches and the data tables, always in one transaction."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.loader import statements
from services.loader.domain import KeyRange, Merge, counts_of, result_of
from shared import crashpoints
from shared.datasets.model import Dataset
from shared.errors import TransientError
from shared.events.decode import decode_event, encode
from shared.events.models import BatchManifest
from shared.observability.logging import get_logger
from shared.postgres.errors import translated
from shared.version import CODE_VERSION

log = get_logger()

Connection = asyncpg.pool.PoolConnectionProxy

_MET_ANOTHER = (asyncpg.UniqueViolationError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
"""Keys that were new turned out not to be, or another transaction is about to write them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch's rows, to be copied once or twice."""

    columns: Sequence[str]
    keys: KeyRange | None
    """Where they ascend, as a merge takes them: two that take the same keys in one order never deadlock. Else None."""
    body: Callable[[datetime | None], AsyncIterator[bytes]]
    """A binary COPY of `columns`, from its start; with a time, of `etl_processed_at` after them."""


class LoadRepository:
    """Every method raises `DatabaseUnavailableError` in an outage, `PermanentError` for what PostgreSQL refuses."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cut_off: set[str] = set()
        """Batches whose straight copy an outage ended, its time limit perhaps: the next try takes the merge."""

    async def find(self, batch_id: str) -> BatchManifest | None:
        """The committed result of a batch, done or dead."""
        with translated():
            result = await self._pool.fetchval(statements.FIND, batch_id)
        return None if result is None else decode_event(BatchManifest, result.encode())

    async def commit_dead(self, dead: BatchManifest) -> bool:
        """False: the batch has a result already, which stands."""
        crashpoints.reach("loader.death")
        with translated():
            return bool(await self._pool.fetchval(statements.CLAIM, *_claim(dead), encode(dead).decode()))

    async def forget_death(self, batch_id: str) -> None:
        """A batch that is not dead is left as it is."""
        with translated():
            await self._pool.execute(statements.FORGET_DEATH, batch_id)

    async def load(
        self, batch: BatchManifest, dataset: Dataset, rows: Rows | None, nulls: Mapping[str, int]
    ) -> BatchManifest | None:
        """All rows and the ledger's row, or nothing. None: someone else was first, and nothing is changed.

        `rows` is None for a batch without any; `nulls` counts theirs by column. Keys that are new to the table are
        copied straight into it; all others go through a temporary table and are merged, which costs three times as
        much.
        """
        may_go_straight = batch.batch_id not in self._cut_off
        try:
            with translated():
                async with self._pool.acquire() as connection, connection.transaction():
                    result = await _load(
                        connection, batch, dataset, rows, nulls, may_go_straight=may_go_straight
                    )
                    crashpoints.reach("loader.merged")
        except _AnotherWasFirstError:
            return None
        except TransientError:
            self._cut_off.add(batch.batch_id)
            raise
        self._cut_off.discard(batch.batch_id)
        crashpoints.reach("loader.committed")
        return result


class _AnotherWasFirstError(Exception):
    """Takes back what was copied."""


async def _load(
    connection: Connection,
    batch: BatchManifest,
    dataset: Dataset,
    rows: Rows | None,
    nulls: Mapping[str, int],
    *,
    may_go_straight: bool,
) -> BatchManifest:
    straight = 0 if rows is None else None
    if rows is not None and may_go_straight:
        straight = await _copy_straight(connection, batch, dataset, rows)
    copied = straight if rows is None or straight is not None else await _copy(connection, dataset, rows)
    log.info("batch_copied", way="merge" if straight is None else "straight", rows=copied)
    crashpoints.reach("loader.copied")
    # After the COPY, so that a process that was paused in it keeps no other from the ledger.
    if not await connection.fetchval(statements.CLAIM, *_claim(batch), "{}"):
        raise _AnotherWasFirstError
    if straight is None:
        [found] = await connection.fetch(statements.merge(dataset), batch.produced_at)
        merge = Merge(written=found["written"], same_run=found["same_run"])
    else:
        merge = Merge(written=straight, same_run=0)
    counts = counts_of(copied or 0, merge)
    loaded_at = await connection.fetchval("SELECT now()")
    result = result_of(batch, counts, nulls, produced_at=loaded_at, code_version=CODE_VERSION)
    await connection.execute(
        statements.RECORD, batch.batch_id, counts.loaded, counts.superseded, encode(result).decode()
    )
    return result


async def _copy_straight(
    connection: Connection, batch: BatchManifest, dataset: Dataset, rows: Rows
) -> int | None:
    """The rows that are in the table now; None, and nothing changed, where one of the keys may be there already."""
    if rows.keys is None or not await connection.fetchval(
        statements.is_new(dataset), rows.keys.least, rows.keys.greatest
    ):
        return None
    try:
        async with connection.transaction():
            await connection.execute(statements.STRAIGHT_LIMITS)
            status = await connection.copy_to_table(
                dataset.table,
                schema_name="public",
                source=rows.body(batch.produced_at),
                columns=[*rows.columns, "etl_processed_at"],
                format="binary",
            )
    except _MET_ANOTHER:
        return None
    return _rows_of(status)


async def _copy(connection: Connection, dataset: Dataset, rows: Rows) -> int:
    await connection.execute(statements.create_incoming(dataset))
    status = await connection.copy_to_table(
        statements.INCOMING, source=rows.body(None), columns=list(rows.columns), format="binary"
    )
    return _rows_of(status)


def _rows_of(status: str) -> int:
    return int(status.removeprefix("COPY "))


def _claim(batch: BatchManifest) -> tuple[str, str, str, str]:
    return batch.batch_id, batch.run_id, batch.dataset, batch.status
