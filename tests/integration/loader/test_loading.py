"""A batch is in its table in whole, once, and the newest record of each key stays."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.loader.encoder import encode_copy
from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from shared.batches.batches import BatchDeadError
from shared.datasets.catalog import Catalog
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import Artifact, BatchManifest, Counts
from shared.events.reasons import Reason
from shared.postgres.errors import DatabaseUnavailableError
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.support.processed import (
    PRODUCED_AT,
    REQUESTED_AT,
    a_dataset,
    put_file,
    put_processed,
    put_table,
    record_of,
)

pytestmark = pytest.mark.integration

LATER = REQUESTED_AT + timedelta(hours=1)
INT64_MAX = 2**63 - 1
ENCODER = "services.loader.service.encode_copy"


async def rows_of(pool: asyncpg.Pool, table: str, order: str = "id") -> list[dict[str, Any]]:
    found = await pool.fetch(f'SELECT * FROM public."{table}" ORDER BY "{order}"')
    return [dict(row) for row in found]


async def ledger_of(pool: asyncpg.Pool) -> list[tuple[str, str, int, int]]:
    found = await pool.fetch(
        "SELECT batch_id, status, rows_loaded, rows_superseded FROM onpoint_loader.loaded_batches ORDER BY loaded_at"
    )
    return [tuple(row) for row in found]


def pair(value: str, group: str = "a", user: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": group, "user": user, "value": value, **more}


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


async def test_a_redelivered_batch_is_announced_again_and_written_once(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    first = await handlers.on_batch_processed(record_of(batch, batch.batch_id))
    again = await handlers.on_batch_processed(record_of(batch, batch.batch_id))
    assert first == again
    assert [event.topic for event in first] == [topics.BATCH_LOADED]
    assert await ledger_of(pool) == [(batch.batch_id, "done", 1, 0)]


async def test_of_two_loaders_with_one_batch_one_wins_and_both_announce_the_same(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    rows = [pair("x", user=user) for user in range(5000)]
    batch = await put_processed(staging, catalog["pairs"], rows)
    results = await asyncio.gather(*(service.load(batch) for _ in range(4)))
    assert len({result.model_dump_json() for result in results}) == 1
    assert results[0].counts == Counts(read=5000, loaded=5000)
    assert await pool.fetchval("SELECT count(*) FROM onpoint_pairs") == 5000
    assert len(await ledger_of(pool)) == 1


async def test_a_loader_paused_during_its_copy_keeps_nobody_waiting_and_loses(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pausing(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        async for chunk in encode_copy(parquet, artifact, processed_at=processed_at):
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


async def test_an_older_run_that_is_loaded_later_loses(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    newer = await put_processed(staging, catalog["pairs"], [pair("new")], run_id="b", requested_at=LATER)
    older = await put_processed(
        staging, catalog["pairs"], [pair("old"), pair("only", user=2)], run_id="a", requested_at=REQUESTED_AT
    )
    assert (await service.load(newer)).counts == Counts(read=1, loaded=1)
    assert (await service.load(older)).counts == Counts(read=2, loaded=1, superseded=1)
    assert [row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")] == ["new", "only"]


async def test_a_newer_run_replaces_every_column_and_counts_as_loaded(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    older = await put_processed(staging, catalog["pairs"], [pair("old")], run_id="z")
    newer = await put_processed(
        staging,
        catalog["pairs"],
        [{"group": "a", "user": 1}],
        run_id="a",
        requested_at=LATER,
        first_position=3,
    )
    await service.load(older)
    assert (await service.load(newer)).counts == Counts(read=1, loaded=1)
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert (row["value"], row["_run_id"], row["_source_position"]) == (None, "a", 3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_collision_within_a_run_counts_one_superseded_whoever_loses(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog, order: tuple[int, int]
) -> None:
    batches = [
        await put_processed(staging, catalog["pairs"], [pair("first")], sequence=0, first_position=0),
        await put_processed(staging, catalog["pairs"], [pair("second")], sequence=1, first_position=1),
    ]
    results = [await service.load(batches[place]) for place in order]
    assert [result.counts for result in results] == [Counts(read=1, loaded=1), Counts(read=1, superseded=1)]
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert row["value"] == "second"


@pytest.mark.parametrize(("lesser", "greater"), [("B", "a"), ("a-1", "a.1"), ("run-10", "run-9")])
async def test_runs_of_one_moment_are_ordered_by_the_bytes_of_their_ids(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    lesser: str,
    greater: str,
) -> None:
    assert lesser.encode() < greater.encode()
    for run_id in (greater, lesser):
        await service.load(await put_processed(staging, catalog["pairs"], [pair(run_id)], run_id=run_id))
    [row] = await rows_of(pool, "onpoint_pairs", "user")
    assert row["_run_id"] == greater


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_order_of_loading_does_not_change_what_stays(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    order: tuple[int, ...],
) -> None:
    dataset = catalog["pairs"]
    batches = [
        await put_processed(staging, dataset, [pair(f"0.{u}", user=u) for u in range(6)], run_id="r1"),
        await put_processed(
            staging,
            dataset,
            [pair(f"1.{u}", user=u) for u in range(3, 9)],
            run_id="r1",
            sequence=1,
            first_position=6,
        ),
        await put_processed(staging, dataset, [pair(f"2.{u}", user=u) for u in range(0, 9, 2)], run_id="r0"),
        await put_processed(
            staging,
            dataset,
            [pair(f"3.{u}", user=u) for u in (8, 9)],
            run_id="r0",
            sequence=1,
            requested_at=LATER,
        ),
    ]
    results = [await service.load(batches[place]) for place in order]
    assert [row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")] == [
        "0.0", "0.1", "0.2", "1.3", "1.4", "1.5", "1.6", "1.7", "3.8", "3.9",
    ]  # fmt: skip
    assert all(result.counts.loaded + result.counts.superseded == result.counts.read for result in results)


async def test_two_loaders_that_meet_in_many_keys_do_not_deadlock(
    service: LoaderService, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    users = list(range(3000))
    batches = [
        await put_processed(
            staging,
            catalog["pairs"],
            [pair(str(n), user=u) for u in order],
            sequence=n,
            first_position=3000 * n,
        )
        for n, order in enumerate([users, users[::-1], users[1500:] + users[:1500]])
    ]
    results = await asyncio.gather(*(service.load(batch) for batch in batches))
    assert sum(result.counts.loaded for result in results) == 3000
    assert {row["value"] for row in await rows_of(pool, "onpoint_pairs", "user")} == {"2"}


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


async def dead_after(handlers: Handlers, batch: BatchManifest) -> BatchManifest:
    """Handles the batch as the bus does: what kills it, then its burial."""
    record = record_of(batch, batch.batch_id)
    with pytest.raises(PermanentError) as caught:
        await handlers.on_batch_processed(record)
    burial = await handlers.bury(record, caught.value)
    assert burial.dead
    [announced] = burial.announce
    assert announced.topic == topics.BATCH_FAILED
    assert isinstance(announced.event, BatchManifest)
    return announced.event


async def test_a_value_that_postgres_refuses_kills_its_batch_and_leaves_no_row(
    handlers: Handlers, staging: ObjectStore, pool: asyncpg.Pool, catalog: Catalog
) -> None:
    rows = [*(pair("x", user=u) for u in range(20_000)), pair("a\x00b", user=20_000)]
    batch = await put_processed(staging, catalog["pairs"], rows)
    dead = await dead_after(handlers, batch)
    assert (dead.stage, dead.status, dead.reason, dead.counts.read) == ("loader", "dead", Reason.NUL, 20_001)
    assert await rows_of(pool, "onpoint_pairs", "user") == []
    assert await ledger_of(pool) == [(batch.batch_id, "dead", 0, 0)]


async def test_a_dead_batch_stays_dead_and_is_announced_again(
    handlers: Handlers, staging: ObjectStore, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("a\x00b")])
    first = await dead_after(handlers, batch)
    record = record_of(batch, batch.batch_id)
    with pytest.raises(BatchDeadError) as caught:
        await handlers.on_batch_processed(record)
    again = await handlers.bury(record, caught.value)
    assert again.dead
    assert [event.event for event in again.announce] == [first]


async def test_a_death_after_a_load_is_ignored(
    handlers: Handlers, service: LoaderService, staging: ObjectStore, catalog: Catalog
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x")])
    done = await service.load(batch)
    burial = await handlers.bury(record_of(batch, batch.batch_id), PermanentError(Reason.HANDLER, "late"))
    assert not burial.dead
    assert [(event.topic, event.event) for event in burial.announce] == [(topics.BATCH_LOADED, done)]


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


def thing(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "order": "x", "time": None, "type": None, "select": None, "by": None, **more}


def note_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways that rows take from now on: straight into the table, or by the temporary one."""
    ways: list[str] = []

    def noting(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        ways.append("merged" if processed_at is None else "straight")
        return encode_copy(parquet, artifact, processed_at=processed_at)

    monkeypatch.setattr(ENCODER, noting)
    return ways


async def test_keys_that_the_table_does_not_have_go_straight_into_it(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = note_ways(monkeypatch)
    for sequence, numbers in enumerate((range(10, 20), range(30, 40), range(20, 30), range(19, 21))):
        batch = await put_processed(
            staging,
            catalog["things"],
            [thing(n) for n in numbers],
            sequence=sequence,
            run_id=f"run-{sequence}",
        )
        await service.load(batch)
    assert ways == ["straight", "straight", "straight", "merged"]
    assert [row["id"] for row in await rows_of(pool, "onpoint_things")] == list(range(10, 40))
    assert {row["etl_processed_at"] for row in await rows_of(pool, "onpoint_things")} == {PRODUCED_AT}


async def test_keys_in_another_order_are_merged_so_that_two_loads_never_deadlock(
    service: LoaderService,
    staging: ObjectStore,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = note_ways(monkeypatch)
    await service.load(await put_processed(staging, catalog["things"], [thing(n) for n in (1, 3, 2)]))
    assert ways == ["merged"]


async def test_a_straight_copy_that_takes_too_long_is_an_outage_and_the_next_try_takes_the_merge(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(10)])
    ways: list[str] = []

    async def slow(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        ways.append("merged" if processed_at is None else "straight")
        async for chunk in encode_copy(parquet, artifact, processed_at=processed_at):
            await asyncio.sleep(0.5 if processed_at else 0)
            yield chunk

    monkeypatch.setattr(ENCODER, slow)
    monkeypatch.setattr(
        "services.loader.statements.STRAIGHT_LIMITS", "SET LOCAL transaction_timeout = '300ms'"
    )
    with pytest.raises(DatabaseUnavailableError):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []
    assert (await service.load(batch)).counts == Counts(read=10, loaded=10)
    assert ways == ["straight", "merged"]


async def test_a_key_that_comes_in_between_sends_the_batch_through_the_merge(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = await put_processed(staging, catalog["things"], [thing(5, order="old")], run_id="run-0")
    batch = await put_processed(
        staging, catalog["things"], [thing(n) for n in range(10)], run_id="run-1", sequence=1
    )
    ways: list[str] = []

    async def meeting(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        ways.append("merged" if processed_at is None else "straight")
        if ways == ["straight"]:
            await service.load(older)  # after the table was asked, before the first row is in it
        async for chunk in encode_copy(parquet, artifact, processed_at=processed_at):
            yield chunk

    monkeypatch.setattr(ENCODER, meeting)
    result = await service.load(batch)
    assert ways == ["straight", "straight", "merged"]
    assert result.counts == Counts(read=10, loaded=10)
    assert {row["order"] for row in await rows_of(pool, "onpoint_things")} == {"x"}


async def test_a_batch_that_died_meanwhile_takes_back_what_it_copied(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["things"], [thing(n) for n in range(10)])

    async def dying(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        await service.bury(batch, PermanentError(Reason.HANDLER, "elsewhere"))
        async for chunk in encode_copy(parquet, artifact, processed_at=processed_at):
            yield chunk

    monkeypatch.setattr(ENCODER, dying)
    with pytest.raises(BatchDeadError):
        await service.load(batch)
    assert await rows_of(pool, "onpoint_things") == []


async def test_a_backend_killed_in_its_copy_is_an_outage_and_the_next_try_is_right(
    service: LoaderService,
    staging: ObjectStore,
    pool: asyncpg.Pool,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = await put_processed(staging, catalog["pairs"], [pair("x", user=u) for u in range(40_000)])

    async def killing(
        parquet: pq.ParquetFile, artifact: Artifact, *, processed_at: datetime | None
    ) -> AsyncIterator[bytes]:
        async for chunk in encode_copy(parquet, artifact, processed_at=processed_at):
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
