"""The states of health in PostgreSQL, and the last report."""

from typing import TypeAlias

import asyncpg

from shared.health import statements
from shared.health.history import Key, State
from shared.health.model import HealthReport
from shared.postgres.errors import translated

Connection: TypeAlias = "asyncpg.Pool | asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"


async def read_states(connection: Connection) -> dict[Key, State]:
    """Raises `DatabaseUnavailableError` in an outage."""
    with translated():
        rows = await connection.fetch(statements.SINCE)
    return {(row["check_name"], row["item"]): State(row["status"], row["since"]) for row in rows}


async def read_last_report(connection: Connection) -> HealthReport | None:
    """As quality stored it. Raises `DatabaseUnavailableError` in an outage."""
    with translated():
        value = await connection.fetchval(statements.LAST_REPORT)
    return None if value is None else HealthReport.model_validate_json(value)
