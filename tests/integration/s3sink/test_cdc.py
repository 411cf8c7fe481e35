"""The sink of change capture on a real PostgreSQL: which offsets an object has, whoever writes it and however often."""

import io
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.s3sink.cdc.catalog import Catalog
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.errors import ClaimTakenError, SchemaGrewError
from services.s3sink.cdc.repository import CdcRepository
from services.s3sink.cdc.settings import CdcSettings
from services.s3sink.cdc.sink import CdcSink
from shared.bus.batches import RecordBatch, StopPartitionError
from shared.storage.object_store import ObjectStore, open_memory

pytestmark = pytest.mark.integration

TOPIC = "cdc.public.pets"
MOMENT_MS = 1_795_962_277_000
FOLDER = "cdc/pets/2026/11/29/14"


def change(at: int, op: str = "c", before: dict[str, Any] | None = None, **row: Any) -> bytes:
    source = {"ts_ms": MOMENT_MS, "lsn": 1_000 + at, "txId": at}
    after = None if op in "dt" else {"id": at, "name": f"pet {at}", **row}
    return orjson.dumps({"before": before, "after": after, "source": source, "op": op})


def batch(first: int, values: Sequence[bytes | None], topic: str = TOPIC) -> RecordBatch:
    return RecordBatch(topic, 0, range(first, first + len(values)), [MOMENT_MS] * len(values), list(values))


def pets(first: int, last: int) -> RecordBatch:
    """The offsets from first to last, an insert each."""
    return batch(first, [change(at) for at in range(first, last + 1)])


@dataclass
class Lake:
    """A lake that can be away, and sinks on it."""

    pool: asyncpg.Pool
    room: Path
    store: ObjectStore = field(default_factory=open_memory)

    def sink(self, max_age_s: float = 1, **settings: int) -> CdcSink:
        chosen = CdcSettings(cdc_max_age_s=max_age_s, **settings)
        return CdcSink(
            CdcRepository(self.pool),
            Catalog(self.pool),
            Decoder(),
            self.store,
            chosen,
            self.room,
            lambda *_: None,
        )

    async def names(self) -> list[str]:
        return sorted([each.key async for each in self.store.list("cdc/")])

    async def rows(self, key: str) -> pa.Table:
        body = await self.store.get(key)
        assert body is not None
        return pq.read_table(io.BytesIO(body))

    async def claim(self, last: int) -> None:
        """As a sink leaves it that ends before its object is put."""
        await CdcRepository(self.pool).claim(TOPIC, 0, last, f"{FOLDER}/0-{last}.parquet")


@pytest.fixture
async def lake(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Lake]:
    async with asyncpg.create_pool(postgres_dsn, min_size=1, max_size=4) as pool:
        await pool.execute("CREATE TABLE pets (id bigint PRIMARY KEY, name text, _run_id text)")
        yield Lake(pool, tmp_path)


async def closed(sink: CdcSink, position: int, topic: str = TOPIC) -> int | None:
    """As if the open object had reached its age."""
    for table in sink._tables.values():  # noqa: SLF001 - time is not waited for
        table.opened_s -= 100_000
        table.saved_s -= 100_000
    return await sink.tick(topic, 0, position)


async def test_the_range_of_offsets_is_the_name_and_the_next_object_begins_behind_it(lake: Lake) -> None:
    sink = lake.sink()
    assert await sink.begin(TOPIC, 0, 0, 20) == 0
    assert await sink.handle(pets(0, 4)) is None
    assert await closed(sink, 5) == 5
    # Offset 5 is the mark of a transaction, which no consumer sees.
    assert await sink.handle(pets(6, 9)) is None
    assert await closed(sink, 10) == 10
    assert await lake.names() == [f"{FOLDER}/0-4.parquet", f"{FOLDER}/5-9.parquet"]
    assert (await lake.rows(f"{FOLDER}/5-9.parquet"))["_offset"].to_pylist() == [6, 7, 8, 9]


async def test_the_last_row_of_a_full_load_closes_its_object_at_once(lake: Lake) -> None:
    sink = lake.sink(max_age_s=60)
    await sink.begin(TOPIC, 0, 0, 20)
    loaded = [change(at, "r") for at in range(5)]
    last = loaded[-1].replace(b'"txId":4', b'"txId":4,"snapshot":"last"')
    assert await sink.handle(batch(0, loaded[:4])) is None
    assert await sink.handle(batch(4, [last])) == 5
    assert await sink.handle(pets(5, 6)) is None
    assert await lake.names() == [f"{FOLDER}/0-4.parquet"]


async def test_a_claimed_object_is_written_under_its_name_by_whoever_comes_next(lake: Lake) -> None:
    await lake.sink().begin(TOPIC, 0, 0, 20)
    await lake.claim(last=4)
    sink = lake.sink()
    assert await sink.begin(TOPIC, 0, 0, 20) == 0
    await sink.handle(pets(0, 2))
    await sink.handle(pets(3, 9))
    assert await lake.names() == [f"{FOLDER}/0-4.parquet"]
    await closed(sink, 10)
    assert await lake.names() == [f"{FOLDER}/0-4.parquet", f"{FOLDER}/5-9.parquet"]
    assert (await lake.rows(f"{FOLDER}/0-4.parquet"))["id"].to_pylist() == [0, 1, 2, 3, 4]


async def test_a_claim_that_ends_with_the_mark_of_a_transaction_is_written_without_another_record(
    lake: Lake,
) -> None:
    await lake.sink().begin(TOPIC, 0, 0, 20)
    await lake.claim(last=4)
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 3))
    assert await sink.tick(TOPIC, 0, 5) is None
    assert await lake.names() == [f"{FOLDER}/0-4.parquet"]


async def test_a_sink_that_was_paused_is_refused_and_leaves_nothing(lake: Lake) -> None:
    paused, other = lake.sink(), lake.sink()
    await paused.begin(TOPIC, 0, 0, 20)
    await paused.handle(pets(0, 6))
    await other.begin(TOPIC, 0, 0, 20)
    await other.handle(pets(0, 4))
    assert await closed(other, 5) == 5
    with pytest.raises(ClaimTakenError):
        await closed(paused, 7)
    assert await lake.names() == [f"{FOLDER}/0-4.parquet"]
    assert await paused.begin(TOPIC, 0, 0, 20) == 5


async def test_a_batch_that_comes_twice_is_taken_once(lake: Lake) -> None:
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 4))
    await sink.handle(pets(2, 6))
    await closed(sink, 7)
    assert (await lake.rows(f"{FOLDER}/0-6.parquet"))["id"].to_pylist() == list(range(7))


async def test_changes_that_change_nothing_leave_no_object_and_no_gap(lake: Lake) -> None:
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    old = {"id": 0, "name": "pet 0", "_run_id": "run-1"}
    same = change(0, "u", before=old, _run_id="run-2")
    assert await sink.handle(batch(0, [same] * 5)) is None
    assert await closed(sink, 5) == 5
    assert await lake.names() == []
    again = lake.sink()
    assert await again.begin(TOPIC, 0, 0, 20) == 5
    await again.handle(pets(5, 6))
    await closed(again, 7)
    assert await lake.names() == [f"{FOLDER}/0-6.parquet"]


async def test_a_new_column_begins_a_new_object(lake: Lake) -> None:
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 1))
    await lake.pool.execute("ALTER TABLE pets ADD COLUMN age int")
    await sink.handle(batch(2, [change(2, age=7)]))
    await closed(sink, 3)
    assert await lake.names() == [f"{FOLDER}/0-1.parquet", f"{FOLDER}/2-2.parquet"]
    assert (await lake.rows(f"{FOLDER}/2-2.parquet"))["age"].to_pylist() == [7]


async def test_a_claimed_object_whose_columns_change_has_them_all(lake: Lake) -> None:
    await lake.sink().begin(TOPIC, 0, 0, 20)
    await lake.claim(last=3)
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 1))
    with pytest.raises(SchemaGrewError):
        await sink.handle(batch(2, [change(2, gone="x"), change(3)]))
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 1))
    await sink.handle(batch(2, [change(2, gone="x"), change(3)]))
    assert await lake.names() == [f"{FOLDER}/0-3.parquet"]
    assert (await lake.rows(f"{FOLDER}/0-3.parquet"))["gone"].to_pylist() == [None, None, "x", None]


async def test_records_that_are_gone_stop_the_table_until_it_is_loaded_anew(lake: Lake) -> None:
    await lake.sink().begin(TOPIC, 0, 0, 20)
    sink = lake.sink()
    with pytest.raises(StopPartitionError, match="offsets 0 to 4 are gone"):
        await sink.begin(TOPIC, 0, 5, 20)
    assert "gone" in await lake.pool.fetchval("SELECT stopped FROM onpoint_lake.cdc_tables")
    await lake.pool.execute("UPDATE onpoint_lake.cdc_tables SET anew = true")
    assert await sink.begin(TOPIC, 0, 5, 20) == 5
    await sink.handle(pets(5, 6))
    await closed(sink, 7)
    assert await lake.names() == [f"{FOLDER}/0-6.parquet"]


async def test_a_topic_that_was_made_anew_stops_the_table(lake: Lake) -> None:
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)
    await sink.handle(pets(0, 9))
    await closed(sink, 10)
    with pytest.raises(StopPartitionError, match="made anew"):
        await sink.begin(TOPIC, 0, 0, 3)


async def test_an_object_is_full_at_its_target_and_never_above_twice_of_it(lake: Lake) -> None:
    sink = lake.sink(max_age_s=86_400, cdc_object_target_bytes=2**20)
    await sink.begin(TOPIC, 0, 0, 10**6)
    at = 0
    for _ in range(12):
        noise = [change(at + place, name=os.urandom(500).hex()) for place in range(2_000)]
        await sink.handle(batch(at, noise))
        at += len(noise)
    sizes = [each.bytes async for each in lake.store.list("cdc/")]
    assert sizes
    assert max(sizes) <= 2 * 2**20


async def test_the_rows_that_wait_are_bounded_however_many_tables_there_are(lake: Lake) -> None:
    most = 2**20
    sink = lake.sink(max_age_s=86_400, cdc_buffer_bytes=most)
    topics = [f"cdc.public.pets{number}" for number in range(40)]
    for topic in topics:
        await lake.pool.execute(f"CREATE TABLE {topic.rsplit('.', 1)[1]} (id bigint PRIMARY KEY, name text)")
        await sink.begin(topic, 0, 0, 10**6)
        await sink.handle(batch(0, [change(at, name="x" * 100) for at in range(1_000)], topic))
        waiting = [table.open.waiting_bytes for table in sink._tables.values() if table.open]  # noqa: SLF001
        assert sum(waiting) <= most
    for topic in topics:
        assert await closed(sink, 1_000, topic) == 1_000
    assert len(await lake.names()) == len(topics)


async def test_the_rows_of_a_full_load_are_counted_until_the_next_one_begins(lake: Lake) -> None:
    await lake.pool.execute("INSERT INTO pets SELECT g, 'pet' FROM generate_series(1, 50) g; ANALYZE pets")
    sink = lake.sink()
    await sink.begin(TOPIC, 0, 0, 20)

    async def loaded() -> tuple[int, int | None]:
        [row] = await lake.pool.fetch("SELECT loaded_rows, expected_rows FROM onpoint_lake.cdc_tables")
        return row["loaded_rows"], row["expected_rows"]

    await sink.handle(batch(0, [change(0, "r"), change(1, "r"), change(2, "c")]))
    await closed(sink, 3)
    assert await loaded() == (2, 50)
    await sink.handle(batch(3, [change(3, "r")]))
    await closed(sink, 4)
    assert await loaded() == (3, 50)
    await sink.handle(batch(4, [change(4, "r"), change(5, "t"), change(6, "r")]))
    await closed(sink, 7)
    assert await loaded() == (1, 50)
    await sink.handle(batch(7, [change(7, "t")]))
    await closed(sink, 8)
    assert await loaded() == (0, None)
