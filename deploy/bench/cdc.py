"""Changes from Kafka to Parquet: the sink beside consumers of one record at a time, and beside reading alone."""

import asyncio
import logging
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from deploy.bench import cdc_stages, row_at_a_time
from deploy.local.stack import LocalStack
from services.s3sink.cdc.catalog import Catalog
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.repository import CdcRepository
from services.s3sink.cdc.settings import CdcSettings
from services.s3sink.cdc.sink import CdcSink
from shared.bus.batches import FETCH_BYTES, MAX_RECORDS, BatchSubscription
from shared.bus.kafka import KafkaClients
from shared.bus.plain_records import PlainConsumer
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3

COLUMNS = "id bigint PRIMARY KEY, user_id bigint, title text, body text, _run_id text, changed timestamptz"
LIMIT_S = 600.0
STAGE_ROWS = 100_000
"""Of the stages that are measured in memory."""


Turn = dict[str, float]


async def _measure(stack: LocalStack, rows: int, turn: int) -> Turn:
    environment = stack.environment()
    keys = f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}"
    environment["ONPOINT_S3_CREDENTIALS"] = keys
    storage = load_settings(ObjectStoreSettings, environment)
    lake, kafka = open_s3(storage, storage.lake_bucket), load_settings(KafkaSettings, environment)
    name = f"bench_{turn}"
    async with asyncpg.create_pool(environment["ONPOINT_POSTGRES_DSN"], min_size=1, max_size=2) as pool:
        await pool.execute(f"CREATE TABLE {name} ({COLUMNS})")
        clients = KafkaClients(kafka, "bench")
        await _publish(clients, f"cdc.public.{name}", rows)
        return {
            "poll": await _cpu(lambda: _poll(clients, name, rows)),
            "poll_each": await _cpu(lambda: row_at_a_time.poll(clients, name, rows)),
            "sink": await _cpu(lambda: _by_sink(clients, pool, lake, name, rows)),
            "json": await _cpu(lambda: row_at_a_time.store(clients, lake, name, rows)),
            "orjson": await _cpu(lambda: row_at_a_time.store(clients, lake, name, rows, orjson.loads)),
        }


async def _cpu(work: Callable[[], Awaitable[None]]) -> float:
    """CPU seconds of this process, of all its threads."""
    before = time.process_time()
    async with asyncio.timeout(LIMIT_S):
        await work()
    return time.process_time() - before


async def _by_sink(kafka: KafkaClients, pool: asyncpg.Pool, lake: ObjectStore, name: str, rows: int) -> None:
    stored, done = 0, asyncio.Event()

    def observe(_table: str, written: Any, *_: Any) -> None:
        nonlocal stored
        stored += written.rows
        if stored >= rows:
            done.set()

    settings = CdcSettings(cdc_max_age_s=2)
    room = Path(tempfile.mkdtemp(prefix="onpoint-bench-cdc-room-"))
    sink = CdcSink(CdcRepository(pool), Catalog(pool), Decoder(), lake, settings, room, observe)

    async def refuse(record: Any, _error: Exception) -> None:
        raise RuntimeError(f"a dead letter in a bench: {record}")

    subscription = BatchSubscription(
        kafka, group=f"bench-{name}", pattern=rf"^cdc\.public\.{name}$", handler=sink, send_dead_letter=refuse
    )
    running = asyncio.create_task(subscription.run())
    waiting = asyncio.create_task(done.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    shutil.rmtree(room)


async def _poll(kafka: KafkaClients, name: str, rows: int) -> None:
    """Reads the records as the sink does, and drops them: what the sink cannot go below."""
    options = {"max_poll_records": MAX_RECORDS, "fetch_max_bytes": FETCH_BYTES}
    consumer = kafka.consumer_of(
        PlainConsumer, denied=lambda *_: None, max_partition_fetch_bytes=FETCH_BYTES, **options
    )
    partition = TopicPartition(f"cdc.public.{name}", 0)
    consumer.assign([partition])
    await consumer.start()
    try:
        await consumer.seek_to_beginning(partition)
        while rows > 0:
            rows -= sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
    finally:
        await consumer.stop()


async def _publish(clients: KafkaClients, topic: str, rows: int) -> None:
    admin = clients.admin()
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    producer = clients.producer(compression_type="lz4", linger_ms=20, max_batch_size=2**19)
    await producer.start()
    try:
        for first in range(0, rows, 10_000):
            sent = [await producer.send(topic, _change(at)) for at in range(first, min(rows, first + 10_000))]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _change(at: int) -> bytes:
    """As Debezium sends it: a third each of inserts, updates with their old row, and deletes."""
    operation = "cud"[at % 3]
    row = {"id": at, "user_id": at % 100, "title": f"title {at}", "body": "est rerum tempore vitae " * 4}
    row |= {"_run_id": "run-1", "changed": "2026-11-29T14:24:37.123456Z"}
    source = {"version": "3.6.3.Final", "connector": "postgresql", "name": "cdc", "ts_ms": 1795962277273 + at}
    source |= {
        "snapshot": "false",
        "db": "onpoint",
        "ts_us": 1795962277273000 + at,
        "ts_ns": 1795962277273000000 + at,
        "sequence": '["32315592","32317712"]',
        "schema": "public",
    }
    source |= {"table": "bench", "txId": at // 10, "lsn": 32317712 + at, "xmin": None}
    before = None if operation == "c" else row
    after = None if operation == "d" else (row if operation == "c" else {**row, "title": "changed"})
    return orjson.dumps(
        {
            "before": before,
            "after": after,
            "source": source,
            "transaction": None,
            "op": operation,
            "ts_ms": 1795962277273,
            "ts_us": 1795962277273123,
            "ts_ns": 1795962277273123456,
        }
    )


def measure(rows: int, repeat: int) -> dict[str, Any]:
    """On a stack of its own, which is removed again. The median of the turns."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder = Path(tempfile.mkdtemp(prefix="onpoint-bench-cdc-"))
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    try:
        with LocalStack(folder / "home", services=()) as stack:
            turns = [asyncio.run(_measure(stack, rows, turn)) for turn in range(repeat)]
            stack.down(wipe=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    stages = cdc_stages.measure([_change(at) for at in range(min(rows, STAGE_ROWS))])
    of_stages = {
        name: {who: 1e6 * spent / min(rows, STAGE_ROWS) for who, spent in each.items()}
        for name, each in stages.items()
    }
    reading = {"sink": 1e6 * seconds["poll"] / rows, "row": 1e6 * seconds["poll_each"] / rows}
    return {
        "rows": rows,
        "repeat": repeat,
        "stages_us": {"reading": reading, **of_stages},
        "changes_per_cpu_s": rows / seconds["sink"],
        "read_only_per_cpu_s": rows / seconds["poll"],
        "row_at_a_time_per_cpu_s": rows / seconds["json"],
        "row_at_a_time_orjson_per_cpu_s": rows / seconds["orjson"],
        "ratio": seconds["json"] / seconds["sink"],
        "ratio_orjson": seconds["orjson"] / seconds["sink"],
        "peak_rss_bytes": peak_bytes,
    }
