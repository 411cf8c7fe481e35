"""PostgreSQL servers that a test may stop, and of older versions, without the other components."""

from collections.abc import Iterator

import pytest

from console.cli.admin import migrations
from shared.datasets.catalog import load_catalog
from shared.postgres.migrations import migrate
from tests.support.postgres_server import PostgresServer

OLDER = ("15", "16")
"""The oldest that OnPoint works with, and one that many managed services have. Its own tests run on the newest."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Of the default version. A test that stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def empty_dsn(postgres: PostgresServer) -> str:
    """A database of this test's own, without any migration."""
    return await postgres.new_database()


@pytest.fixture(scope="session", params=OLDER)
def older_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param) as server:
        yield server


@pytest.fixture
async def older_dsn(older_postgres: PostgresServer) -> str:
    """A database with every migration applied, on a server of an older version."""
    dsn = await older_postgres.new_database()
    await migrate(dsn, migrations(), list(load_catalog(environment={}).values()))
    return dsn
