"""A bounded pool of connections to PostgreSQL."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import asyncpg

from shared.errors import ConfigurationError
from shared.observability.logging import get_logger
from shared.observability.metrics import POOL_CONNECTIONS, POOL_LIMIT
from shared.postgres.connecting import Connector
from shared.postgres.errors import is_outage
from shared.postgres.refusals import error_text, refusal_of
from shared.settings.dsn import fault_of
from shared.settings.postgres import PostgresSettings
from shared.settings.variables import read_file

APPLICATION_NAME = "onpoint_pipeline"
CONNECT_RETRY_S = 1.0
IDLE_S = 60.0

log = get_logger()

ReportWaiting = Callable[[str | None], None]
"""Called with one sentence while a start waits, and with None when that is over."""


def _report_nothing(_: str | None) -> None:
    """For callers without a readiness to report."""


async def open_pool(settings: PostgresSettings, waits_for: ReportWaiting = _report_nothing) -> asyncpg.Pool:
    """Opens the pool when the server answers, and waits for that without end.

    Raises `ConfigurationError` with one sentence where waiting cannot help: a login, database or certificate that is
    refused, a role that may not connect.
    """
    _leave_logging_to_connector()
    dsn = settings.postgres_dsn.get_secret_value()
    connector = Connector(_address_of(settings))
    while True:
        try:
            pool = await asyncpg.create_pool(
                dsn,
                connect=connector,
                min_size=settings.postgres_pool_size,
                max_size=settings.postgres_pool_size + settings.postgres_pool_overflow,
                max_inactive_connection_lifetime=IDLE_S,
                server_settings={
                    "application_name": APPLICATION_NAME,
                    "statement_timeout": str(settings.postgres_statement_timeout_s * 1000),
                    "lock_timeout": "60000",
                    "idle_in_transaction_session_timeout": "60000",
                    "timezone": "UTC",
                },
            )
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(
                f"PostgreSQL refused the connection, {error.message}: GRANT CONNECT ON DATABASE to its role"
            ) from error
        except Exception as error:
            if (refusal := refusal_of(error, dsn)) is not None:
                raise ConfigurationError(refusal) from error
            if not is_outage(error):
                raise
            waits_for(f"waiting for PostgreSQL: {error_text(error)}")
            await asyncio.sleep(CONNECT_RETRY_S)
        else:
            waits_for(None)
            _show(pool)
            return pool


def _address_of(settings: PostgresSettings) -> Callable[[str], str] | None:
    """The file's, where it is the one that counts: a variable that is set wins over its file."""
    if settings.postgres_dsn_file is None:
        return None
    file = Path(settings.postgres_dsn_file)
    if read_file(file) != settings.postgres_dsn.get_secret_value():
        return None

    def latest(known: str) -> str:
        try:
            found = read_file(file)
        except (OSError, UnicodeDecodeError) as error:
            log.warning("dsn_not_read", file=str(file), why=type(error).__name__)
            return known
        return found if fault_of(found) is None else known

    return latest


def _show(pool: asyncpg.Pool) -> None:
    """A process has one pool: its latest is shown."""
    POOL_CONNECTIONS.labels("idle").set_function(pool.get_idle_size)
    POOL_CONNECTIONS.labels("busy").set_function(lambda: pool.get_size() - pool.get_idle_size())
    POOL_LIMIT.set(pool.get_max_size())


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return not record.exc_info


def _leave_logging_to_connector() -> None:
    """The pool would log a traceback for each connection that it tries to restore. Idempotent."""
    logging.getLogger("asyncpg.pool").addFilter(_has_no_traceback)
