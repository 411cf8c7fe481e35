"""The states of health in PostgreSQL."""

from typing import TypeAlias

import asyncpg

from shared.health import statements
from shared.health.history import Key, State
from shared.postgres.errors import translated

Connection: TypeAlias = "asyncpg.Pool | asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"


async def read_states(connection: Connection) -> dict[Key, State]:
    """Raises `DatabaseUnavailableError` in an outage."""
    with translated():
        rows = await connection.fetch(statements.SINCE)
    return {(row["check_name"], row["item"]): State(row["status"], row["since"], row["told"]) for row in rows}
