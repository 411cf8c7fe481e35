import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pyarrow.parquet as pq
import pytest

from services.loader.adapters import statements
from services.loader.adapters.encoder import encode_copy
from services.loader.adapters.repository import LoadRepository
from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog, load_catalog
from shared.datasets.model import Dataset
from shared.events.models import Artifact
from shared.postgres.migrations import migrate
from shared.postgres.pool import open_pool
from shared.settings.postgres import PostgresSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from tests.integration.loader.loaded import ENCODER
from tests.support.datasets import datasets_of
from tests.support.processed import a_dataset

THINGS = a_dataset(
    {
        "id": "int64",
        "order": "string",
        "time": "timestamp",
        "type": "boolean",
        "select": "float64",
        "by": "date",
    },
    key=["id"],
)
PAIRS = a_dataset(
    {"group": "string", "user": "int64", "value": "string"}, key=["group", "user"], name="pairs"
)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog({**load_catalog(environment={}), "things": THINGS, "pairs": PAIRS})


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    await migrate(postgres_dsn, [], [THINGS, PAIRS])
    settings = PostgresSettings.model_validate({"postgres_dsn": postgres_dsn, "postgres_pool_size": 6})
    async with await open_pool(settings) as pool:
        yield pool


@pytest.fixture
def staging() -> ObjectStore:
    return open_memory("staging")


@pytest.fixture
def service(staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog) -> LoaderService:
    return LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of(catalog))


@pytest.fixture
def handlers(service: LoaderService) -> Handlers:
    return Handlers(service)


@pytest.fixture
def slow_load_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records how rows are loaded, straight or merged; a straight copy exceeds its time limit."""
    paths: list[str] = []

    async def slow(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        paths.append("merged" if processed_at is None else "straight")
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            await asyncio.sleep(0.5 if processed_at else 0)
            yield chunk

    monkeypatch.setattr(ENCODER, slow)
    monkeypatch.setattr(statements, "STRAIGHT_MS", 300)
    return paths
