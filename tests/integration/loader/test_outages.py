"""An outage of PostgreSQL leaves nothing of a batch, and the next try loads it."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pyarrow.parquet as pq
import pytest

from services.loader.adapters.encoder import encode_copy
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.datasets.model import Dataset
from shared.events.models import Artifact, Counts
from shared.postgres.errors import DatabaseUnavailableError
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ENCODER, ledger_of, pair, rows_of
from tests.support.processed import put_processed

pytestmark = pytest.mark.integration


async def test_a_backend_killed_in_its_copy_is_an_outage_and_the_next_try_is_right(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x", user=u) for u in range(40_000)])

    async def killing(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            yield chunk
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
                " AND datname = current_database()"
            )

    monkeypatch.setattr(ENCODER, killing)
    with pytest.raises(DatabaseUnavailableError):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_pairs", "user") == []
    assert await ledger_of(pool) == []
    monkeypatch.undo()
    assert (await service.load(batch)).counts == Counts(read=40_000, loaded=40_000)


async def test_a_read_only_server_is_an_outage(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    async with pool.acquire() as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await pool.expire_connections()
    with pytest.raises(DatabaseUnavailableError):
        await service.load(batch)
    async with pool.acquire() as connection:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await pool.expire_connections()
    assert (await service.load(batch)).counts.loaded == 1
