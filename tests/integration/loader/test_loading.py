"""A batch is in its table in whole, as it was, once."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import asyncpg
import pyarrow.parquet as pq
import pytest

from services.loader.adapters.encoder import encode_copy
from services.loader.adapters.repository import LoadRepository
from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from services.processor.domain.parse_schema import MAX_KEY_BYTES
from shared.datasets.catalog import Catalog
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events import topics
from shared.events.models import Artifact, Counts
from shared.postgres.migrations import migrate
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.integration.loader.loaded import ENCODER, ledger_of, pair, rows_of
from tests.support.datasets import datasets_of
from tests.support.processed import PRODUCED_AT, REQUESTED_AT, a_dataset, put_processed, record_of

pytestmark = pytest.mark.integration

INT64_MAX = 2**63 - 1


async def test_every_value_arrives_as_it_was(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    time = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    full = {
        "id": INT64_MAX,
        "order": "Grüße, 你好, \U0001f600, مرحبا\n\t\\\"'",
        "time": time,
        "type": False,
        "select": 1e308,
        "by": date(9999, 12, 31),
    }
    empty = {"id": -INT64_MAX - 1, "order": "", "time": None, "type": None, "select": None, "by": None}
    null = {"id": 0, "order": None, "select": -0.0}
    batch = await put_processed(staging, catalog["things"], [full, empty, null], first_position=7)

    result = await service.load(batch)

    assert result.counts == Counts(read=3, loaded=3)
    assert (result.stage, result.status, result.artifacts) == ("loader", "done", ())
    lineage = {"_run_id": "run-1", "_batch_id": batch.batch_id, "_requested_at": REQUESTED_AT}
    etl = {"etl_processed_at": PRODUCED_AT}
    found = {row["id"]: row for row in await rows_of(pool, "onpoint_things")}
    assert found[INT64_MAX] == {**full, **lineage, "_source_position": 7, **etl}
    assert found[-INT64_MAX - 1] == {**empty, **lineage, "_source_position": 8, **etl}
    assert found[0]["order"] is None
    assert str(found[0]["select"]) == "-0.0"
    assert await ledger_of(pool) == [(batch.batch_id, "done", 3, 0)]


async def test_a_source_that_names_its_columns_by_and_time_and_type_is_loaded(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    story = {"id": 1, "type": "story", "by": "pg", "time": 1160418092, "title": "Y", "score": 57}
    await service.load(await put_processed(staging, catalog["stories"], [story]))
    [row] = await rows_of(pool, "onpoint_stories")
    assert {name: row[name] for name in story} == story
    assert row["text"] is None


async def test_the_result_of_a_redelivered_batch_is_published_again_and_its_rows_written_once(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    first = await handlers.on_batch_processed(record_of(batch, batch.batch_id))
    again = await handlers.on_batch_processed(record_of(batch, batch.batch_id))
    assert first == again
    assert [event.topic for event in first] == [topics.BATCH_LOADED]
    assert await ledger_of(pool) == [(batch.batch_id, "done", 1, 0)]


async def test_of_two_loaders_with_one_batch_one_wins_and_both_publish_the_same(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    rows = [pair("x", user=user) for user in range(5000)]
    batch = await put_processed(staging, catalog["pairs"], rows)
    results = await asyncio.gather(*(service.load(batch) for _ in range(4)))
    assert len({result.model_dump_json() for result in results}) == 1
    assert results[0].counts == Counts(read=5000, loaded=5000)
    assert await pool.fetchval("SELECT count(*) FROM onpoint_pairs") == 5000
    assert len(await ledger_of(pool)) == 1


async def test_a_loader_paused_during_its_copy_blocks_no_other_and_loses(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pausing(
        parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        async for chunk in encode_copy(parquet, artifact, dataset, processed_at=processed_at):
            paused.set()
            await go_on.wait()
            yield chunk

    monkeypatch.setattr(ENCODER, pausing)
    zombie = asyncio.create_task(service.load(batch))
    await paused.wait()
    monkeypatch.undo()
    winner = await asyncio.wait_for(service.load(batch), 10)
    go_on.set()
    assert await zombie == winner
    assert len(await ledger_of(pool)) == 1


async def test_a_batch_without_rows_is_loaded_with_zeros(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [])
    assert (await service.load(batch)).counts == Counts()
    assert await ledger_of(pool) == [(batch.batch_id, "done", 0, 0)]


async def test_a_batch_from_before_a_column_was_added_is_loaded_with_nulls(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool
) -> None:
    before = a_dataset({"group": "string", "user": "int64"}, key=["group", "user"], name="pairs")
    await service.load(await put_processed(staging, before, [{"group": "a", "user": 1}]))
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert row["value"] is None


@pytest.mark.parametrize("parts", [1, 2, 31])
async def test_the_longest_key_that_the_processor_lets_pass_fits_into_the_index(
    postgres_dsn: str, staging: ObjectStore, pool: asyncpg.Pool, parts: int
) -> None:
    """Key columns of texts that do not compress, of the largest total size, and an integer."""
    texts = [f"part_{place}" for place in range(parts)]
    wide = a_dataset({**dict.fromkeys(texts, "string"), "id": "int64"}, key=[*texts, "id"], name="wide")
    await migrate(postgres_dsn, [], [wide])
    characters = "".join(map(chr, range(0x21, 0x7F)))
    key = "".join(random.Random(1).choices(characters, k=MAX_KEY_BYTES))  # noqa: S311 - no secret
    size = MAX_KEY_BYTES // parts
    row = {name: key[place * size : (place + 1) * size] for place, name in enumerate(texts)}
    row[texts[-1]] = key[(parts - 1) * size :]
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of({"wide": wide}))
    result = await service.load(await put_processed(staging, wide, [{**row, "id": INT64_MAX}]))
    assert result.counts.loaded == 1
    [found] = await rows_of(pool, "onpoint_wide")
    assert "".join(found[name] for name in texts) == key


async def test_a_batch_whose_table_is_yet_to_be_made_waits_and_names_the_command(
    staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str
) -> None:
    late = a_dataset({"id": "int64", "name": "string"}, key=["id"], name="late")
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of({"late": late}))
    batch = await put_processed(staging, late, [{"id": 1, "name": "a"}])
    for _ in range(2):
        with pytest.raises(TransientError, match="run `onpoint migrate`"):
            await service.load(batch)
    await migrate(postgres_dsn, [], [late])
    assert (await service.load(batch)).counts.loaded == 1


@pytest.mark.parametrize("rows", [1, 2])
async def test_a_batch_with_a_column_that_is_yet_to_be_added_waits_and_is_loaded_whole(
    staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str, rows: int
) -> None:
    before = a_dataset({"id": "int64"}, key=["id"], name="late")
    after = a_dataset({"id": "int64", "name": "string"}, key=["id"], name="late")
    await migrate(postgres_dsn, [], [before])
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of({"late": after}))
    batch = await put_processed(staging, after, [{"id": rows - n, "name": "a"} for n in range(rows)])
    for _ in range(2):  # one row goes straight into the table, two in another order by the temporary one
        with pytest.raises(TransientError, match="run `onpoint migrate`"):
            await service.load(batch)
    await migrate(postgres_dsn, [], [after])
    assert (await service.load(batch)).counts.loaded == rows
    assert await pool.fetchval("SELECT count(*) FROM onpoint_late WHERE name = 'a'") == rows


async def test_a_cancelled_run_waits_for_no_table(staging: ObjectStore, pool: asyncpg.Pool) -> None:
    late = a_dataset({"id": "int64"}, key=["id"], name="late")
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets_of({"late": late}))
    batch = await put_processed(staging, late, [{"id": 1}])
    await staging.put(keys.cancel_key(batch.run_id), b"{}")
    with pytest.raises(PermanentError, match="cancelled"):
        await service.load(batch)


async def test_a_run_is_loaded_as_it_was_frozen_whatever_the_files_contain_now(
    staging: ObjectStore, pool: asyncpg.Pool, postgres_dsn: str
) -> None:
    then = a_dataset({"id": "int64", "name": "string"}, key=["id"], name="late")
    now = a_dataset({"id": "int64", "name": "date"}, key=["id"], name="late")
    await migrate(postgres_dsn, [], [then])
    datasets = datasets_of({"late": now}, staging)
    await datasets.put_if_absent("run-1", then)
    service = LoaderService(Batches(staging, "loader"), LoadRepository(pool), datasets)
    assert (
        await service.load(await put_processed(staging, then, [{"id": 1, "name": "a"}]))
    ).counts.loaded == 1
