from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from shared.storage.object_store import open_memory
from tests.support.sink import Sink


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    settings = PostgresSettings.model_validate({"postgres_dsn": postgres_dsn, "postgres_pool_size": 8})
    async with await open_pool(settings) as pool:
        yield pool


@pytest.fixture
def sink(pool: asyncpg.Pool) -> Sink:
    return Sink(pool, open_memory("staging"), open_memory("lake"))


@pytest.fixture
def other(sink: Sink) -> Sink:
    """A second replica on the same database and buckets."""
    return Sink(sink.pool, sink.staging, sink.lake, sink.limits)
