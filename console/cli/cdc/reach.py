"""The servers that the commands of change capture need, with a sentence for each that is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.client import postgres
from console.client.cdc.names import PASSWORD_FILE, ROLE, SLOT
from shared.postgres.refusals import refusal_of
from shared.settings.cdc import ConnectSettings


def connect_settings() -> ConnectSettings:
    """Raises `CommandError` for a setting that cannot be read."""
    return environment.settings(ConnectSettings)


def connect_url() -> str:
    """Raises `WrongUseError` where the installation captures no changes."""
    url = connect_settings().cdc_connect_url
    if url is None:
        raise WrongUseError(
            "no Kafka Connect is known: start the stack with `onpoint up --cdc`, or set ONPOINT_CDC_CONNECT_URL"
        )
    return url


def password_file() -> Path:
    """Of the role of change capture."""
    return Path(connect_settings().cdc_secrets_dir) / PASSWORD_FILE


def read_password(file: Path) -> str | None:
    """None where this machine does not have the secret."""
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


@asynccontextmanager
async def connected_as_role(dsn: str, file: Path) -> AsyncIterator[asyncpg.Connection]:
    """As the role of change capture, with its password from the file. Raises `CommandError`, also where there is none."""
    password = read_password(file)
    if password is None:
        raise CommandError(
            f"the slot needs a login with REPLICATION, and {file} cannot be read: have SELECT "
            f"pg_drop_replication_slot('{SLOT}') run by one, then repeat this command"
        )
    async with connected(dsn, user=ROLE, password=password) as connection:
        yield connection


@asynccontextmanager
async def connected(
    dsn: str, *, user: str | None = None, password: str | None = None
) -> AsyncIterator[asyncpg.Connection]:
    """By the address, or as another user of it. Raises `CommandError` where PostgreSQL refuses or is away."""
    try:
        connection = await postgres.connect(dsn, timeout_s=None, user=user, password=password)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CommandError(refusal_of(error, dsn) or f"PostgreSQL does not answer: {error}") from error
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(f"PostgreSQL refuses: {error}") from error
    finally:
        await connection.close()
