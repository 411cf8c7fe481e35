"""The pool: how many connections it keeps open, and what it logs while PostgreSQL is away."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared.errors import ConfigurationError
from shared.postgres import connecting
from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration


def settings(dsn: str, **more: int) -> PostgresSettings:
    return PostgresSettings.model_validate({"postgres_dsn": dsn, **more})


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


async def test_the_size_stays_open_and_the_overflow_opened_when_needed(postgres: PostgresServer) -> None:
    async with await open_pool(
        settings(postgres.dsn(), postgres_pool_size=3, postgres_pool_overflow=1)
    ) as pool:
        assert pool.get_size() == 3
        connections = [await pool.acquire() for _ in range(4)]
        assert pool.get_size() == 4
        with pytest.raises(TimeoutError):
            await pool.acquire(timeout=0.2)
        for connection in connections:
            await pool.release(connection)
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        await until(lambda: pool.get_size() == 3)


async def test_connections_end_when_the_server_s_host_vanishes(postgres: PostgresServer) -> None:
    async with await open_pool(settings(postgres.dsn())) as pool, pool.acquire() as connection:
        raw = cast("Any", connection)._con  # noqa: SLF001 - what the kernel was told
        found = raw._transport.get_extra_info("socket")  # noqa: SLF001 - as above
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == connecting.KEEPALIVE_IDLE_S
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == connecting.UNACKNOWLEDGED_MS


async def test_a_server_that_is_away_is_logged_once_without_a_traceback(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool tries to restore its connections once a second and then less often."""
    caplog.set_level(logging.DEBUG)
    async with await open_pool(settings(postgres.dsn())) as pool:
        with capture_logs() as logs:
            postgres.stop()
            try:
                for _ in range(3):
                    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                        await pool.fetchval("SELECT 1")
                    await asyncio.sleep(1)
            finally:
                postgres.start()
            await until(lambda: "postgres_reachable" in [line["event"] for line in logs], within_s=30)
            assert await pool.fetchval("SELECT 1") == 1
    assert [line["event"] for line in logs] == ["postgres_unreachable", "postgres_reachable"]
    assert "Connect call failed" in logs[0]["why"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_start_waits_for_a_server_that_is_away_and_reports_it(postgres: PostgresServer) -> None:
    messages: list[str | None] = []
    postgres.stop()
    opening = asyncio.create_task(open_pool(settings(postgres.dsn()), messages.append))
    await until(lambda: bool(messages))
    postgres.start()
    async with await opening:
        assert (messages[0] or "").startswith("waiting for PostgreSQL: ")
        assert messages[-1] is None


async def test_a_database_that_is_not_there_ends_the_start_with_one_sentence(
    postgres: PostgresServer,
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^PostgreSQL refused .*\"nothing\".*: mend ONPOINT_POSTGRES_DSN$"
    ):
        await open_pool(settings(postgres.dsn("nothing")))


async def test_a_role_that_may_not_connect_ends_the_start_with_one_sentence(postgres: PostgresServer) -> None:
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await admin.execute("CREATE ROLE guest LOGIN")
        await admin.execute("CREATE DATABASE closed")
        await admin.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    finally:
        await admin.close()
    dsn = postgres.dsn("closed").replace(f"//{urlsplit(postgres.dsn('closed')).username}", "//guest")
    with pytest.raises(
        ConfigurationError, match=r"^PostgreSQL refused .*closed.*: GRANT CONNECT ON DATABASE to its role$"
    ):
        await open_pool(settings(dsn))
