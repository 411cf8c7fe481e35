"""A dead batch whose record is replayed: its failure is cleared, and that of no other batch."""

import asyncpg
import pytest

from services.loader.handlers import Handlers
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.storage.object_store import ObjectStore
from tests.support.processed import put_processed, record_of

pytestmark = pytest.mark.integration


async def a_batch(staging: ObjectStore, catalog: Catalog) -> BatchManifest:
    return await put_processed(staging, catalog["pairs"], [{"group": "a", "user": 1, "value": "x"}])


async def statuses(pool: asyncpg.Pool) -> list[str]:
    return [
        row["status"]
        for row in await pool.fetch("SELECT status FROM onpoint_loader.loaded_batches ORDER BY batch_id")
    ]


async def test_a_dead_batch_is_loaded_when_its_record_is_replayed(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await a_batch(staging, catalog)
    record = record_of(batch, batch.batch_id)
    await handlers.mark_failed(record, PermanentError(Reason.HANDLER, "a bug"))
    await handlers.redrive(record)
    [first] = await handlers.on_batch_processed(record)
    assert first.topic == topics.BATCH_LOADED
    await handlers.redrive(record)
    assert await handlers.on_batch_processed(record) == [first], "a second replay finds it loaded"
    assert await statuses(pool) == ["done"]
    assert await pool.fetchval("SELECT count(*) FROM onpoint_pairs") == 1


async def test_a_batch_that_fails_again_is_dead_again(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await a_batch(staging, catalog)
    record = record_of(batch, batch.batch_id)
    await handlers.mark_failed(record, PermanentError(Reason.HANDLER, "a bug"))
    await handlers.redrive(record)
    assert await statuses(pool) == []
    outcome = await handlers.mark_failed(record, PermanentError(Reason.CHECKSUM, "still bad"))
    assert outcome.dead
    [published] = outcome.events
    assert isinstance(published.event, BatchManifest)
    assert (published.event.status, published.event.reason) == ("dead", Reason.CHECKSUM)
    assert await statuses(pool) == ["dead"]


async def test_only_the_batch_of_the_record_is_redriven_and_garbage_redrives_nothing(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await a_batch(staging, catalog)
    await handlers.mark_failed(record_of(batch, batch.batch_id), PermanentError(Reason.HANDLER, "a bug"))
    other = await put_processed(staging, catalog["pairs"], [], sequence=1)
    await handlers.redrive(record_of(other, other.batch_id))
    await handlers.redrive(record_of(batch, "0" * 32))
    assert await statuses(pool) == ["dead"]
