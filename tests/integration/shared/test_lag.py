"""The lag in seconds is the age of the oldest record that the group has not committed, on a real broker under load."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from shared.bus.lag import Lag, LagMeter
from shared.bus.messages import Outgoing, Record
from shared.observability.registry import REGISTRY
from tests.support.bus import Topics, joined, plain_kafka, run_drained, running

pytestmark = pytest.mark.integration


def shown(name: str, topics: Topics, partition: int) -> float | None:
    labels = {"topic": topics.input, "partition": str(partition)}
    return REGISTRY.get_sample_value(f"onpoint_consumer_lag_{name}", labels)


@asynccontextmanager
async def produced(topics: Topics, per_second: float, partition: int) -> AsyncIterator[None]:
    """A producer that sends records at a steady rate while the block runs."""

    async def produce() -> None:
        async with AIOKafkaProducer(bootstrap_servers=topics.servers, acks="all") as producer:
            while True:
                await producer.send_and_wait(topics.input, run_drained("r"), key=b"k", partition=partition)
                await asyncio.sleep(1 / per_second)

    task = asyncio.create_task(produce())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_under_load_the_lag_in_seconds_is_within_a_fifth_of_the_truth(topics: Topics) -> None:
    in_hand_ms = 0

    async def handler(record: Record) -> Sequence[Outgoing]:
        nonlocal in_hand_ms
        in_hand_ms = record.timestamp_ms
        await asyncio.sleep(0.1)
        return ()

    found: list[tuple[float, float]] = []
    async with running(topics, handler) as bus, produced(topics, 25, 0):
        await joined(bus)
        measuring = asyncio.create_task(bus.lag.run())
        try:
            await asyncio.sleep(8)
            for _ in range(20):
                truth = time.time() - in_hand_ms / 1000
                found.append((truth, shown("seconds", topics, 0) or 0.0))
                await asyncio.sleep(0.37)
        finally:
            measuring.cancel()
    assert all(truth > 2 for truth, _ in found), "the handler was to fall behind"
    assert all(abs(seen - truth) <= 0.2 * truth for truth, seen in found), found


async def test_a_partition_that_stands_still_grows_older_and_the_others_do_not(topics: Topics) -> None:
    gate = asyncio.Event()

    async def handler(record: Record) -> Sequence[Outgoing]:
        if record.partition == 0:
            await gate.wait()
        return ()

    async with running(topics, handler, workers=2) as bus:
        async with asyncio.timeout(60):
            while len(bus.assigned()) < 4:  # two of the input, two of the retries
                await asyncio.sleep(0.1)
        await topics.send((0, b"stuck", ()), (1, b"quick", ()), (0, b"behind", ()))
        sent_s = time.time()
        await asyncio.sleep(2)
        await bus.lag.measure()
        age_s = time.time() - sent_s
        assert shown("records", topics, 0) == 2
        assert shown("seconds", topics, 0) == pytest.approx(age_s, abs=0.5)
        assert (shown("records", topics, 1), shown("seconds", topics, 1)) == (0, 0)
        gate.set()
        await topics.drained(10)
        await bus.lag.measure()
        assert (shown("records", topics, 0), shown("seconds", topics, 0)) == (0, 0)


async def test_what_nobody_has_read_yet_is_behind_since_its_append(topics: Topics) -> None:
    """Before the first commit of the group."""
    await topics.send((0, b"first", ()), (0, b"second", ()))
    here = TopicPartition(topics.input, 0)
    meter = LagMeter(plain_kafka(topics.servers), f"onpoint-{topics.service}", lambda: [here])
    try:
        [first] = [record for record in await topics.read(topics.input) if record.value == b"first"]
        assert await meter.measure() == {here: Lag(0, 2, first.timestamp_ms)}
    finally:
        await meter.aclose()


async def test_markers_of_transactions_are_no_lag(topics: Topics) -> None:
    kafka = plain_kafka(topics.servers)
    group = f"onpoint-{topics.service}"

    async def handler(_record: Record) -> Sequence[Outgoing]:
        return ()

    await topics.send((0, b"one", ()))
    async with running(topics, handler):
        await topics.drained(10)
    # A record and a marker: what is left once the group has committed the record.
    async with (
        AIOKafkaProducer(
            bootstrap_servers=topics.servers, transactional_id=topics.service, acks="all"
        ) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(topics.input, b"two", key=b"k", partition=0)
    async with running(topics, handler):
        await asyncio.sleep(3)
    here = TopicPartition(topics.input, 0)
    meter = LagMeter(kafka, group, lambda: [here])
    try:
        lag = (await meter.measure())[here]
    finally:
        await meter.aclose()
    assert (lag.records, lag.oldest_ms) == (0, None)


async def test_a_partition_that_another_member_has_is_no_longer_shown(topics: Topics) -> None:
    partitions = [TopicPartition(topics.input, 0), TopicPartition(topics.input, 1)]
    meter = LagMeter(plain_kafka(topics.servers), f"onpoint-{topics.service}", lambda: partitions)
    await topics.send((0, b"a", ()), (1, b"b", ()))
    try:
        await meter.measure()
        assert shown("records", topics, 1) == 1
        partitions.pop()
        await meter.measure()
        assert (shown("records", topics, 0), shown("records", topics, 1)) == (1, None)
    finally:
        await meter.aclose()
