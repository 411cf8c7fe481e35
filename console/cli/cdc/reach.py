"""The servers that the commands of change capture need, with a sentence for each that is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from shared.postgres.refusals import refusal_of
from shared.settings.cdc import ConnectSettings

TIMEOUT_S = 30.0


def connect_settings() -> ConnectSettings:
    return environment.settings(ConnectSettings)


def connect_url() -> str:
    """Raises `WrongUseError` where the installation captures no changes."""
    url = connect_settings().cdc_connect_url
    if url is None:
        raise WrongUseError(
            "no Kafka Connect is known: start the stack with `onpoint up --cdc`, or set ONPOINT_CDC_CONNECT_URL"
        )
    return url


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Raises `CommandError` where PostgreSQL refuses or is away."""
    try:
        connection = await asyncpg.connect(
            dsn, timeout=TIMEOUT_S, server_settings={"application_name": "onpoint_console", "timezone": "UTC"}
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CommandError(refusal_of(error, dsn) or f"PostgreSQL does not answer: {error}") from error
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(f"PostgreSQL refuses: {error}") from error
    finally:
        await connection.close()
