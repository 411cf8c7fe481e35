"""Fixtures of every test. Servers are real and start once per session, only when a test asks for them."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import structlog

from console.cli.admin import migrations
from deploy.local.stack import LocalStack
from shared.datasets.catalog import load_catalog
from shared.postgres.migrations import migrate
from tests.support.records import TestData, load_test_data
from tests.support.source import SourceServer

ROOT = Path(__file__).parents[1]

# A busy machine is not a defect of the code under test.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

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


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands of the console quiet the log of their process, which is that of the tests after them too."""
    config = structlog.get_config()
    yield
    structlog.configure(**config)


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka, PostgreSQL and S3 without the services, for tests that bring their own part of the pipeline."""
    with LocalStack(tmp_path_factory.mktemp("components"), ports="free", services=()) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="session")
def test_data() -> TestData:
    return load_test_data()


def pytest_report_header() -> str:
    return f"records of the end-to-end tests: {load_test_data().folder}"


@pytest.fixture(scope="session")
async def source(test_data: TestData) -> AsyncIterator[SourceServer]:
    """Both APIs over loopback, with the records of the tests."""
    async with SourceServer(test_data.records) as server:
        yield server


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, source: SourceServer) -> Iterator[LocalStack]:
    """The whole pipeline on real components: one per session, on free ports, beside a running `onpoint up`."""
    extra = {
        "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
        **{
            f"ONPOINT_SOURCE_{name}_{setting}": value
            for name in ("JSONPLACEHOLDER", "HACKERNEWS")
            for setting, value in (("URL", source.url), ("REQUESTS_PER_SECOND", "0"))
        },
    }
    with LocalStack(tmp_path_factory.mktemp("stack"), ports="free", extra_env=extra) as stack:
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
        await migrate(dsn, migrations(), list(load_catalog(environment={}).values()))
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
