"""Connections of the console to PostgreSQL: under one name, bounded in time, for reading only where that is enough."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

APPLICATION_NAME = "onpoint_console"
CONNECT_TIMEOUT_S = 30.0


async def connect(
    dsn: str,
    *,
    timeout_s: float | None,
    is_read_only: bool = False,
    user: str | None = None,
    password: str | None = None,
) -> asyncpg.Connection:
    """`timeout_s` is of each statement. `user`: another one of the same address.

    Raises what asyncpg raises. End it by `terminate`.
    """
    return await asyncpg.connect(
        dsn,
        user=user,
        password=password,
        timeout=min(timeout_s or CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S),
        command_timeout=timeout_s,
        server_settings=_session(is_read_only=is_read_only),
    )


@asynccontextmanager
async def pool(
    dsn: str, *, timeout_s: float, connections: int = 1, opened: int = 1, is_read_only: bool = False
) -> AsyncIterator[asyncpg.Pool]:
    """Up to `connections`, of which `opened` are there from the start: 0 where a database that is away is a result.

    Raises what asyncpg raises.
    """
    async with asyncpg.create_pool(
        dsn,
        min_size=opened,
        max_size=connections,
        timeout=min(timeout_s or CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S),
        command_timeout=timeout_s,
        server_settings=_session(is_read_only=is_read_only),
    ) as found:
        yield found


def _session(*, is_read_only: bool) -> dict[str, str]:
    session = {"application_name": APPLICATION_NAME, "timezone": "UTC"}
    return session | {"default_transaction_read_only": "on"} if is_read_only else session
