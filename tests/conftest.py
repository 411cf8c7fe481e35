"""Fixtures of every test. Servers are real and start once per session, only when a test asks for them."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from deploy.local.stack import LocalStack
from shared.datasets.catalog import load_catalog
from shared.postgres.migrations import find_migrations, migrate

ROOT = Path(__file__).parents[1]

# As in a service, but without a logger that outlives the test whose output pytest captures.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    cache_logger_on_first_use=False,
)


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka, PostgreSQL and S3 without the services: on free ports, beside a running `onpoint up`."""
    with LocalStack(tmp_path_factory.mktemp("components"), ports="free", services=()) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture
def kafka_servers(components: LocalStack) -> str:
    return components.environment()["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture
async def postgres_dsn(components: LocalStack) -> AsyncIterator[str]:
    """A fresh database with every migration applied; dropped afterwards."""
    server = components.environment()["ONPOINT_POSTGRES_DSN"]
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(server)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        dsn = server.rsplit("/", 1)[0] + "/" + name
        await migrate(dsn, find_migrations(ROOT / "services"), list(load_catalog(environment={}).values()))
        yield dsn
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def s3_environment(components: LocalStack) -> Iterator[dict[str, str]]:
    """The S3 server's settings, with its credentials in this process's environment."""
    environment = components.environment()
    before = dict(os.environ)
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
    yield environment
    os.environ.clear()
    os.environ.update(before)
