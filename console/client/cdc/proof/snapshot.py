"""A table of PostgreSQL at one known LSN."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from console.client.cdc.proof.columns import SourceColumn
from console.client.cdc.source import Table
from shared.errors import OnPointError

LOCK_WAIT_MS = 3_000
"""Writers queue behind a lock that waits, so it does not wait for long."""
LOCK_TRIES = 20


class NoSnapshotError(OnPointError):
    """The table was written to without a pause; one sentence for people."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    connection: asyncpg.Connection
    table: Table
    lsn: int
    """Every change of the table at or below is in the snapshot, and none above."""

    async def save(self, columns: Sequence[SourceColumn], file: Path) -> int:
        """Writes the columns as text, one row a line; the number of rows. Memory is one chunk."""
        texts = ", ".join(column.text for column in columns)
        done = await self.connection.copy_from_query(
            f"SELECT {texts} FROM {self.table.quoted}",  # noqa: S608 - quoted names
            output=file,
            format="csv",
            null="\\N",
        )
        return int(done.removeprefix("COPY "))


@asynccontextmanager
async def snapshot_of(
    locking: asyncpg.Connection, reading: asyncpg.Connection, table: Table
) -> AsyncIterator[Snapshot]:
    """Locks the table against writers for the moment that the snapshot takes. Raises `NoSnapshotError`."""
    transaction = reading.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    try:
        lsn = await _lsn_without_writers(locking, reading, table)
        yield Snapshot(reading, table, lsn)
    finally:
        if not reading.is_closed():
            await transaction.rollback()


async def _lsn_without_writers(locking: asyncpg.Connection, reading: asyncpg.Connection, table: Table) -> int:
    for _ in range(LOCK_TRIES):
        try:
            async with locking.transaction():
                await locking.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
                await locking.execute(f"LOCK TABLE {table.quoted} IN SHARE MODE")
                # The first statement of the other transaction takes its snapshot.
                lsn = await reading.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        except asyncpg.LockNotAvailableError:
            continue
        return int(lsn)
    raise NoSnapshotError(f"{table} is written to without a pause: a transaction on it is open all the time")
