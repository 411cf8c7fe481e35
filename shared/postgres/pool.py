"""Connections to PostgreSQL."""

import asyncio

import asyncpg

from shared.observability.logging import get_logger
from shared.settings.postgres import PostgresSettings

APPLICATION_NAME = "onpoint_pipeline"
CONNECT_RETRY_S = 1.0

log = get_logger()


async def open_pool(settings: PostgresSettings) -> asyncpg.Pool:
    """A bounded pool, opened when the server answers: waits for it without end and says so once.

    Raises `asyncpg.InvalidAuthorizationSpecificationError` and its like at once: waiting cannot help those.
    """
    waiting = False
    while True:
        try:
            return await asyncpg.create_pool(
                settings.postgres_dsn.get_secret_value(),
                min_size=1,
                max_size=settings.postgres_pool_size + settings.postgres_pool_overflow,
                max_inactive_connection_lifetime=60,
                server_settings={
                    "application_name": APPLICATION_NAME,
                    "statement_timeout": str(settings.postgres_statement_timeout_s * 1000),
                    "lock_timeout": "60000",
                    "idle_in_transaction_session_timeout": "60000",
                    "timezone": "UTC",
                },
            )
        except (
            OSError,
            asyncpg.CannotConnectNowError,
            asyncpg.TooManyConnectionsError,
            TimeoutError,
        ) as error:
            if not waiting:
                log.warning("waiting_for_postgres", error=str(error))
                waiting = True
            await asyncio.sleep(CONNECT_RETRY_S)


async def wait_for_migrations(pool: asyncpg.Pool, tables: list[str]) -> None:
    """Returns when every table (`schema.table`) is there: `onpoint migrate` makes them."""
    said = False
    while True:
        missing = [
            row["name"]
            for row in await pool.fetch(
                "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NULL", tables
            )
        ]
        if not missing:
            return
        if not said:
            log.warning("waiting_for_migrations", missing=missing, hint="run `onpoint migrate`")
            said = True
        await asyncio.sleep(CONNECT_RETRY_S)
