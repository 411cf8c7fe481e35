"""A service starts when PostgreSQL answers and has the migrations that the service's code needs."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest

from console.cli.admin import migrations
from shared.errors import ConfigurationError
from shared.postgres.migrations import find_migrations, migrate
from shared.postgres.pool import open_pool
from shared.postgres.startup import wait_for_database
from shared.postgres.versions import check_version
from shared.settings.postgres import PostgresSettings
from tests.support.lone_service import LoneService
from tests.support.postgres_server import PostgresServer

LOADER = find_migrations("services.loader")
NUMBERS = ", ".join(f"{migration.service} {migration.number}" for migration in LOADER)
LAST = NUMBERS.rpartition(", ")[2]


@pytest.fixture
async def pool(empty_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(PostgresSettings.model_validate({"postgres_dsn": empty_dsn})) as pool:
        yield pool


class Waits:
    """Records what a start reports that it waits for."""

    def __init__(self) -> None:
        self.messages: list[str | None] = []

    def __call__(self, what: str | None) -> None:
        self.messages.append(what)

    async def until(self, part: str) -> str:
        async with asyncio.timeout(20):
            while not self.messages or part not in (self.messages[-1] or "nothing"):
                await asyncio.sleep(0.05)
        return self.messages[-1] or ""


@pytest.mark.integration
async def test_the_start_waits_for_each_migration_of_its_own_code(pool: asyncpg.Pool, empty_dsn: str) -> None:
    waits = Waits()
    start = asyncio.create_task(wait_for_database(pool, LOADER, waits))
    assert await waits.until("run") == f"waiting for migrations {NUMBERS}: run `onpoint migrate`"
    await migrate(empty_dsn, LOADER[:-1], [])
    assert await waits.until("migration ") == f"waiting for migration {LAST}: run `onpoint migrate`"
    await migrate(empty_dsn, LOADER, [])
    async with asyncio.timeout(10):
        await start
    assert waits.messages[-1] is None


@pytest.mark.integration
async def test_the_start_waits_for_the_right_to_see_the_migrations(
    pool: asyncpg.Pool, empty_dsn: str
) -> None:
    await migrate(empty_dsn, LOADER, [])
    waits = Waits()
    settings = PostgresSettings.model_validate({"postgres_dsn": f"{empty_dsn}?role=pg_monitor"})
    async with await open_pool(settings) as restricted:
        start = asyncio.create_task(wait_for_database(restricted, LOADER, waits))
        assert "permission denied for schema onpoint_meta: GRANT it" in await waits.until("GRANT")
        await pool.execute(
            "GRANT USAGE ON SCHEMA onpoint_meta TO pg_monitor; GRANT SELECT ON onpoint_meta.migrations TO pg_monitor"
        )
        async with asyncio.timeout(10):
            await start
    assert waits.messages[-1] is None


@pytest.mark.integration
async def test_a_database_that_is_ahead_of_the_code_is_not_waited_for(
    pool: asyncpg.Pool, empty_dsn: str
) -> None:
    await migrate(empty_dsn, migrations(), [])
    async with asyncio.timeout(5):
        await wait_for_database(pool, LOADER[:1], Waits())


@pytest.mark.integration
async def test_a_restart_of_the_server_during_the_start_is_waited_for(
    postgres: PostgresServer, pool: asyncpg.Pool, empty_dsn: str
) -> None:
    waits = Waits()
    start = asyncio.create_task(wait_for_database(pool, LOADER, waits))
    await waits.until("run `onpoint migrate`")
    postgres.stop()
    await waits.until("waiting for PostgreSQL: ")
    postgres.start()
    await waits.until("run `onpoint migrate`")
    await migrate(empty_dsn, LOADER, [])
    async with asyncio.timeout(10):
        await start


def test_a_server_that_is_too_old_is_told_in_one_sentence() -> None:
    old = SimpleNamespace(get_server_version=lambda: SimpleNamespace(major=14, micro=9))
    with pytest.raises(
        ConfigurationError, match=r"is PostgreSQL 14\.9, and OnPoint needs 15 or later: update it"
    ):
        check_version(old)


@pytest.mark.integration
async def test_a_service_that_waits_for_its_migrations_is_alive_and_not_ready(
    tmp_path: Path, empty_dsn: str
) -> None:
    sentence = f"waiting for migrations {NUMBERS}: run `onpoint migrate`"
    with LoneService("loader", tmp_path / "log", ONPOINT_POSTGRES_DSN=empty_dsn) as service:
        assert await service.answer("/readyz", sentence) == (503, f"starting\n{sentence}")
        assert await service.answer("/livez", "ok") == (200, "ok")
        assert service.log().count("waiting_for_migrations") == 1
        service.send(signal.SIGTERM)
        assert await service.exited() == 0


@pytest.mark.integration
async def test_neither_a_start_nor_a_migration_goes_on_with_a_server_that_is_too_old(
    pool: asyncpg.Pool, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.postgres.versions.OLDEST", 99)
    with pytest.raises(ConfigurationError, match="OnPoint needs 99 or later"):
        await wait_for_database(pool, LOADER, Waits())
    with pytest.raises(ConfigurationError, match="OnPoint needs 99 or later"):
        await migrate(empty_dsn, LOADER, [])
    assert await pool.fetchval("SELECT to_regnamespace('onpoint_loader')") is None
