"""What cannot be loaded kills its batch in whole, and the failure is published."""

from pathlib import Path

import asyncpg
import pyarrow as pa
import pytest

from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ledger_of, pair, rows_of
from tests.support.processed import a_dataset, put_file, put_processed, put_table, record_of

pytestmark = pytest.mark.integration


async def dead_after(handlers: Handlers, batch: BatchManifest) -> BatchManifest:
    """Handles the batch as the bus does: what kills it, then its outcome."""
    record = record_of(batch, batch.batch_id)
    with pytest.raises(PermanentError) as caught:
        await handlers.on_batch_processed(record)
    outcome = await handlers.mark_failed(record, caught.value)
    assert outcome.dead
    [published] = outcome.events
    assert published.topic == topics.BATCH_FAILED
    assert isinstance(published.event, BatchManifest)
    return published.event


async def kill(pool: asyncpg.Pool) -> None:
    """No row can be loaded from now on: a column is of another type."""
    await pool.execute("ALTER TABLE onpoint_pairs ALTER value TYPE bytea USING value::bytea")


async def test_a_table_with_a_column_of_another_type_kills_the_batch_and_gets_no_row(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await kill(pool)
    batch = await put_processed(staging, catalog["pairs"], [pair("x", user=u) for u in range(20_001)])
    dead = await dead_after(handlers, batch)
    assert (dead.stage, dead.status, dead.reason, dead.counts.read) == (
        "loader",
        "dead",
        Reason.SCHEMA,
        20_001,
    )
    assert await rows_of(pool, "onpoint_pairs", "user") == []
    assert await ledger_of(pool) == [(batch.batch_id, "dead", 0, 0)]


async def test_a_dead_batch_stays_dead_and_is_published_again(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await kill(pool)
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    first = await dead_after(handlers, batch)
    record = record_of(batch, batch.batch_id)
    with pytest.raises(BatchDeadError) as caught:
        await handlers.on_batch_processed(record)
    again = await handlers.mark_failed(record, caught.value)
    assert again.dead
    assert [event.event for event in again.events] == [first]


async def test_a_death_after_a_load_is_ignored(
    handlers: Handlers, service: LoaderService, staging: ObjectStore, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    done = await service.load(batch)
    outcome = await handlers.mark_failed(
        record_of(batch, batch.batch_id), PermanentError(Reason.HANDLER, "late")
    )
    assert not outcome.dead
    assert [(event.topic, event.event) for event in outcome.events] == [(topics.BATCH_LOADED, done)]


async def test_two_rows_with_one_key_in_a_batch_kill_it(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    await dead_after(handlers, await put_processed(staging, catalog["pairs"], [pair("x"), pair("y")]))
    assert await rows_of(pool, "onpoint_pairs", "user") == []


async def test_another_schema_kills_the_batch(
    handlers: Handlers, staging: ObjectStore, catalog: Catalog
) -> None:
    narrow = pa.table({"group": ["a"], "user": pa.array([1], pa.int32()), "_run_id": ["r"]})
    dead = await dead_after(handlers, await put_table(staging, catalog["pairs"], narrow))
    assert dead.reason is Reason.SCHEMA


async def test_pages_that_cannot_be_decoded_kill_the_batch_even_if_the_hash_is_right(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, tmp_path: Path
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x" * 50, user=u) for u in range(40_000)])
    file = tmp_path / "torn.parquet"
    content = bytearray(await staging.get(staging.key(batch.artifacts[0].uri, "runs/")) or b"")
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    file.write_bytes(content)
    torn = await put_file(staging, catalog["pairs"], file, rows=40_000)
    assert (await dead_after(handlers, torn)).reason is Reason.SCHEMA
    assert await rows_of(pool, "onpoint_pairs", "user") == []


async def test_a_dataset_that_is_not_known_kills_the_batch(handlers: Handlers, staging: ObjectStore) -> None:
    stranger = a_dataset({"id": "int64"}, key=["id"], name="strangers")
    dead = await dead_after(handlers, await put_processed(staging, stranger, [{"id": 1}]))
    assert dead.reason is Reason.SCHEMA


async def test_a_batch_of_a_cancelled_run_is_dead_and_one_that_was_loaded_before_stays(
    handlers: Handlers, service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    before = await put_processed(staging, catalog["pairs"], [pair("x")])
    after = await put_processed(staging, catalog["pairs"], [pair("y", user=2)], sequence=1)
    done = await service.load(before)
    await staging.put(keys.cancel_key("run-1"), b"")
    assert (await dead_after(handlers, after)).reason is Reason.CANCELLED
    assert await service.load(before) == done
    assert [row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")] == ["x"]


async def test_an_artifact_that_is_gone_kills_the_batch(
    handlers: Handlers, staging: ObjectStore, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    await staging.delete(staging.key(batch.artifacts[0].uri, "runs/"))
    assert (await dead_after(handlers, batch)).reason is Reason.OBJECT_MISSING


async def test_a_flipped_bit_kills_the_batch(
    handlers: Handlers, staging: ObjectStore, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    key = staging.key(batch.artifacts[0].uri, "runs/")
    content = bytearray(await staging.get(key) or b"")
    content[10] ^= 1
    await staging.put(key, bytes(content))
    assert (await dead_after(handlers, batch)).reason is Reason.CHECKSUM
