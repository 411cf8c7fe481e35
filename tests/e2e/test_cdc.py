"""Change capture on a real Debezium: what arrives in the lake, and that it is the table."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from deploy.local.stack import LocalStack
from tests.support.cdc import MAX_AGE_S, Capture, has_no_gap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


BIG = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 3000) g)"

TABLES = (
    "CREATE TABLE drifting (id int PRIMARY KEY, v text)",
    "INSERT INTO drifting VALUES (1, 'a')",
    """CREATE TABLE typed (id int PRIMARY KEY, price numeric(12,3), exact numeric, at timestamptz, day date,
        plain timestamp, tags text[], counts int[], doc jsonb, raw bytea, r float8, pad char(4), clock time)""",
    """INSERT INTO typed VALUES (1, 1.5, 12345678901234567890.123456789, '2026-01-02 03:04:05.123456+02', '2026-01-02',
        '2026-01-02 03:04:05.123456', '{a,NULL,"c d"}', '{1,NULL}', '{"b": [1, 2]}', '\\xdeadbeef', 'NaN', 'c',
        '03:04:05.123456')""",
    """INSERT INTO typed (id, exact, at, day, plain, r) VALUES
        (2, 'NaN', 'infinity', 'infinity', 'infinity', 'Infinity'),
        (3, '-Infinity', '-infinity', '-infinity', '-infinity', '-Infinity'), (4, 0, NULL, NULL, NULL, NULL)""",
    "CREATE TABLE toasted (id int PRIMARY KEY, n int, big text, many text[], doc jsonb)",
    f"INSERT INTO toasted VALUES (1, 1, {BIG}, ARRAY[{BIG}, {BIG}], to_jsonb({BIG})), (2, 1, NULL, NULL, NULL)",
    "CREATE TABLE moved (id int PRIMARY KEY, v text)",
    "INSERT INTO moved VALUES (1, 'a')",
    "CREATE TABLE emptied (id int PRIMARY KEY)",
    "INSERT INTO emptied VALUES (1), (2)",
    "CREATE TABLE keyless (a int, b text)",
    "INSERT INTO keyless VALUES (1, 'x'), (1, 'x')",
    "CREATE TABLE shaped (id int PRIMARY KEY, a text)",
    "INSERT INTO shaped VALUES (1, 'x')",
    "CREATE TABLE dirty (id int PRIMARY KEY)",
    "INSERT INTO dirty VALUES (1)",
)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    extra = {"ONPOINT_CDC_MAX_AGE_S": MAX_AGE_S}
    with LocalStack(tmp_path_factory.mktemp("cdc"), services=(), extra_env=extra, cdc=True) as stack:
        found = Capture(stack)
        asyncio.run(prepare(found))
        yield found
        stack.down(wipe=True)


async def prepare(capture: Capture) -> None:
    """Tables of all tests, registered together: each registration starts the connector anew."""
    await capture.execute(*TABLES)
    await capture.register("drifting", "typed", "moved", "emptied", "keyless", "shaped", "dirty")
    await capture.register("toasted", identity="key")


def rows_of(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


async def test_the_lake_has_the_table(capture: Capture) -> None:
    await capture.posts(5_000, "run-1")
    await capture.execute(
        "UPDATE onpoint_posts SET title = 'new' WHERE id <= 100", "DELETE FROM onpoint_posts WHERE id > 4900"
    )
    proof = await capture.verify("onpoint_posts")
    assert (proof["equal"], proof["rows"], proof["rebuilt"]) == (True, 4_900, 4_900)
    assert has_no_gap(await capture.names("onpoint_posts"))
    found = await capture.changes("onpoint_posts")
    assert found.schema.names[:5] == ["Op", "cdc_timestamp", "_lsn", "_tx", "_offset"]
    assert found.schema.field("cdc_timestamp").type == pa.timestamp("ms", "UTC")
    assert Counter(found["Op"].to_pylist()) == {"I": 5_000, "U": 100, "D": 100}


async def test_a_row_of_which_only_lineage_changed_is_no_change(capture: Capture) -> None:
    await capture.posts(4_900, "run-2")
    assert (await capture.verify("onpoint_posts"))["equal"]
    before = await capture.names("onpoint_posts")
    await capture.posts(4_900, "run-3")
    proof = await capture.verify("onpoint_posts")
    assert proof["equal"]
    assert await capture.names("onpoint_posts") == before


@pytest.mark.cdc
async def test_a_difference_is_found_and_its_row_is_named(capture: Capture) -> None:
    await capture.until_changes("drifting", 1)
    await capture.execute("ALTER TABLE drifting ADD COLUMN added int DEFAULT 7")
    proof = await capture.verify("drifting")
    assert not proof["equal"]
    assert proof["shown"] == [{"kind": "different", "key": "1", "columns": ["added"]}]
    assert (await capture.onpoint("cdc", "resnapshot", "drifting")).code == 0
    await capture.until_changes("drifting", 3)
    proof = await capture.verify("drifting")
    assert proof["equal"], proof
    assert [op for (op,) in rows_of(await capture.changes("drifting"), "Op")] == ["I", "T", "I"]


async def test_types_arrive_as_documented(capture: Capture) -> None:
    await capture.until_changes("typed", 4)
    await capture.execute(
        "INSERT INTO typed SELECT id + 10, price, exact, at, day, plain, tags, counts, doc, raw, r, pad, clock FROM typed"
    )
    found = await capture.until_changes("typed", 8)
    for first in (0, 4):
        one = {name: found[name][first].as_py() for name in found.column_names}
        assert one["price"] == Decimal("1.500")
        assert one["exact"] == "12345678901234567890.123456789"
        assert one["at"] == datetime(2026, 1, 2, 1, 4, 5, 123_000, tzinfo=UTC)
        assert one["day"] == date(2026, 1, 2)
        assert one["plain"] == datetime(2026, 1, 2, 3, 4, 5, 123_000)  # noqa: DTZ001 - PostgreSQL's has no zone
        assert (one["tags"], one["counts"]) == (["a", None, "c d"], [1, None])
        assert (json.loads(one["doc"]), one["raw"], one["pad"]) == (
            {"b": [1, 2]},
            b"\xde\xad\xbe\xef",
            "c   ",
        )
        most = {name: found[name][first + 1].as_py() for name in found.column_names}
        assert (most["exact"], most["day"], most["at"].year, most["plain"].year) == (
            "NaN",
            date(9999, 12, 31),
            9999,
            9999,
        )
        least = {name: found[name][first + 2].as_py() for name in found.column_names}
        assert (least["exact"], least["day"], least["at"].year) == ("-Infinity", date(1, 1, 1), 1)
    assert (await capture.verify("typed"))["equal"]


@pytest.mark.cdc
async def test_a_value_that_was_not_logged_is_named_and_never_a_placeholder(capture: Capture) -> None:
    await capture.until_changes("toasted", 2)
    await capture.execute("UPDATE toasted SET n = 2")
    found = await capture.until_changes("toasted", 4)
    assert rows_of(found.slice(2), "id", "n", "big", "many", "doc", "_unchanged") == [
        (1, 2, None, None, None, ["big", "many", "doc"]),
        (2, 2, None, None, None, None),
    ]
    assert (await capture.verify("toasted"))["equal"]
    await capture.execute("DELETE FROM toasted WHERE id = 1")
    found = await capture.until_changes("toasted", 5)
    assert rows_of(found.slice(4), "Op", "id", "n") == [("D", 1, None)]
    assert (await capture.verify("toasted"))["equal"]


async def test_a_changed_key_is_a_delete_and_an_insert(capture: Capture) -> None:
    await capture.until_changes("moved", 1)
    await capture.execute("UPDATE moved SET id = 2")
    found = await capture.until_changes("moved", 3)
    assert rows_of(found, "Op", "id", "v") == [("I", 1, "a"), ("D", 1, "a"), ("I", 2, "a")]
    assert (await capture.verify("moved"))["equal"]


@pytest.mark.cdc
async def test_a_truncate_is_a_row_of_its_own(capture: Capture) -> None:
    await capture.until_changes("emptied", 2)
    await capture.execute("TRUNCATE emptied", "INSERT INTO emptied VALUES (3)")
    found = await capture.until_changes("emptied", 4)
    assert rows_of(found.slice(2), "Op", "id") == [("T", None), ("I", 3)]
    assert (await capture.verify("emptied"))["equal"]


@pytest.mark.cdc
async def test_a_table_without_a_key_has_an_update_as_its_old_and_its_new_row(capture: Capture) -> None:
    await capture.until_changes("keyless", 2)
    await capture.execute(
        "UPDATE keyless SET b = 'y' WHERE ctid = (SELECT min(ctid) FROM keyless)",
        "DELETE FROM keyless WHERE b = 'x'",
    )
    found = await capture.until_changes("keyless", 5)
    assert rows_of(found.slice(2), "Op", "a", "b") == [("D", 1, "x"), ("I", 1, "y"), ("D", 1, "x")]
    assert (await capture.verify("keyless"))["equal"]


@pytest.mark.cdc
async def test_columns_that_come_go_and_change_their_name(capture: Capture) -> None:
    await capture.until_changes("shaped", 1)
    await capture.execute(
        "ALTER TABLE shaped ADD COLUMN b int",
        "INSERT INTO shaped VALUES (2, 'y', 2)",
        "ALTER TABLE shaped DROP COLUMN a",
        "INSERT INTO shaped VALUES (3, 3)",
        "ALTER TABLE shaped RENAME COLUMN b TO c",
        "INSERT INTO shaped VALUES (4, 4)",
        "ALTER TABLE shaped ALTER COLUMN c TYPE text",
        "INSERT INTO shaped VALUES (5, 'five')",
    )
    found = await capture.until_changes("shaped", 5)
    assert rows_of(found, "id", "a") == [(1, "x"), (2, "y"), (3, None), (4, None), (5, None)]
    assert [str(each) for each in found["b"].to_pylist()] == ["None", "2", "3", "None", "None"]
    assert [str(each) for each in found["c"].to_pylist()] == ["None", "None", "None", "4", "five"]


@pytest.mark.cdc
async def test_a_record_that_is_no_change_is_a_dead_letter_and_the_rest_arrives(capture: Capture) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # noqa: PLC0415

    servers = capture.environment["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"]
    await capture.until_changes("dirty", 1)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for value in (b"no JSON", b"\xff\xfe", b'{"op": "x"}', b'{"op": "c"}', b"[]"):
            await producer.send_and_wait("cdc.public.dirty", value)
        await producer.send_and_wait("cdc.public.dirty", None, key=b"a tombstone")
    await capture.execute("INSERT INTO dirty VALUES (2)")
    found = await capture.until_changes("dirty", 2)
    assert rows_of(found, "Op", "id") == [("I", 1), ("I", 2)]
    assert (await capture.verify("dirty"))["equal"]
    async with AIOKafkaConsumer(
        "s3sink.dlq", bootstrap_servers=servers, auto_offset_reset="earliest"
    ) as consumer:
        records = [r for each in (await consumer.getmany(timeout_ms=5_000)).values() for r in each]
    assert {record.value for record in records} == {
        b"no JSON",
        b"\xff\xfe",
        b'{"op": "x"}',
        b'{"op": "c"}',
        b"[]",
    }


@pytest.mark.cdc
async def test_a_lost_slot_is_told_within_a_minute_and_a_new_load_mends_it(capture: Capture) -> None:
    connection = await capture.connect()
    try:
        await capture.posts(1_000, "run-4")
        assert (await capture.verify("onpoint_posts"))["equal"]
        await connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'onpoint_cdc'"
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    await connection.execute("SELECT pg_drop_replication_slot('onpoint_cdc')")
                    break
                except Exception:  # noqa: BLE001 - the connector was faster to come back
                    await connection.execute(
                        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active"
                    )
        await connection.execute("DELETE FROM onpoint_posts WHERE id <= 10")
        async with asyncio.timeout(60):
            while (told := await capture.onpoint("cdc", "status", "--json")).code == 0:
                await asyncio.sleep(1)
        assert any(
            "slot" in problem or "connector" in problem for problem in json.loads(told.out)["problems"]
        )
        mended = await capture.onpoint("cdc", "resnapshot", "--all")
        assert mended.code == 0, mended.err
        assert (await capture.verify("onpoint_posts"))["equal"]
    finally:
        await connection.close()
