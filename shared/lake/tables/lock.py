"""One commit at a time on one table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.events.ids import derive
from shared.postgres.errors import translated


@asynccontextmanager
async def table_lock(connection: asyncpg.pool.PoolConnectionProxy, dataset: str) -> AsyncIterator[None]:
    """Waits for the lock of the dataset's table. It only saves work: of two that commit at once one is refused.

    Raises `DatabaseUnavailableError` in an outage.
    """
    key = int.from_bytes(bytes.fromhex(derive("table of", dataset)[:16]), "big", signed=True)
    with translated():
        await connection.execute("SELECT pg_advisory_lock($1)", key)
    try:
        yield
    finally:
        with translated():
            await connection.execute("SELECT pg_advisory_unlock($1)", key)
