"""The subscription of many records (docs/adr/0021), on a real broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.bus.batches import (
    MAX_TRIES,
    BadRecordsError,
    BatchSubscription,
    RecordBatch,
    StopPartitionError,
    topics_of,
)
from shared.bus.messages import Record
from shared.errors import PermanentError, TransientError
from shared.reasons import Reason
from tests.support.bus import plain_kafka

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@dataclass
class Store:
    """What is durable, for any number of handlers: the values of each topic, and the position behind them."""

    values: dict[str, list[bytes]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)


@dataclass
class Handler:
    """Keeps each batch at once, unless `fail` raises for it."""

    store: Store
    fail: Callable[[RecordBatch], None] = lambda _: None
    begun: list[str] = field(default_factory=list)
    keeps: bool = True

    async def begin(self, topic: str, partition: int, earliest: int, end: int) -> int:
        assert earliest <= end
        assert partition == 0
        self.begun.append(topic)
        return self.store.positions.get(topic, earliest)

    async def handle(self, batch: RecordBatch) -> int | None:
        self.fail(batch)
        if not self.keeps:
            return None
        assert batch.offsets[0] >= self.store.positions.get(batch.topic, 0)
        self.store.values.setdefault(batch.topic, []).extend(value or b"" for value in batch.values)
        self.store.positions[batch.topic] = batch.next_offset
        return batch.next_offset

    async def tick(self, topic: str, partition: int, position: int) -> int | None:
        assert partition == 0
        assert position >= self.store.positions.get(topic, 0)
        return None

    def forget(self, topic: str, partition: int) -> None:
        """Nothing is held."""


@dataclass
class Bus:
    servers: str
    prefix: str = field(default_factory=lambda: f"b{uuid.uuid4().hex[:8]}")
    dead: list[bytes | None] = field(default_factory=list)

    def topic(self, name: str) -> str:
        return f"{self.prefix}.public.{name}"

    async def send(self, name: str, *values: bytes) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.create_topics([NewTopic(self.topic(name), 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            for value in values:
                await producer.send_and_wait(self.topic(name), value)

    async def keep_dead(self, record: Record, _error: PermanentError) -> None:
        self.dead.append(record.value)

    def subscription(self, handler: Handler) -> BatchSubscription:
        return BatchSubscription(
            plain_kafka(self.servers),
            group=self.prefix,
            pattern=topics_of(self.prefix),
            handler=handler,
            send_dead_letter=self.keep_dead,
        )

    @asynccontextmanager
    async def running(self, handler: Handler) -> AsyncIterator[BatchSubscription]:
        subscription = self.subscription(handler)
        task = asyncio.create_task(subscription.run())
        try:
            yield subscription
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def committed(self, name: str) -> int | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=self.prefix, enable_auto_commit=False
        )
        await consumer.start()
        try:
            found: int | None = await consumer.committed(TopicPartition(self.topic(name), 0))
            return found
        finally:
            await consumer.stop()


@pytest.fixture
def bus(kafka_servers: str) -> Bus:
    return Bus(kafka_servers)


async def until(what: Callable[[], bool], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.05)


def values(number: int) -> list[bytes]:
    return [str(at).encode() for at in range(number)]


async def test_records_come_many_at_a_time_and_in_order(bus: Bus) -> None:
    await bus.send("a", *values(500))
    store, sizes = Store(), []
    async with bus.running(Handler(store, fail=lambda batch: sizes.append(len(batch.offsets)))):
        await until(lambda: len(store.values.get(bus.topic("a"), [])) == 500)
    assert store.values[bus.topic("a")] == values(500)
    assert max(sizes) > 1


async def test_the_handler_says_where_a_partition_begins(bus: Bus) -> None:
    await bus.send("a", *values(10))
    store = Store(positions={bus.topic("a"): 7})
    async with bus.running(Handler(store)):
        await until(lambda: len(store.values.get(bus.topic("a"), [])) == 3)
    assert store.values[bus.topic("a")] == values(10)[7:]


async def test_a_bad_record_is_a_dead_letter_and_the_others_come_once(bus: Bus) -> None:
    await bus.send("a", b"1", b"bad", b"2", b"bad too", b"3")
    store = Store()

    def refuse(batch: RecordBatch) -> None:
        why = PermanentError(Reason.DECODE, "bad")
        pairs = zip(batch.offsets, batch.values, strict=True)
        if bad := {offset: why for offset, value in pairs if (value or b"").startswith(b"bad")}:
            raise BadRecordsError(bad)

    async with bus.running(Handler(store, fail=refuse)):
        await until(lambda: len(store.values.get(bus.topic("a"), [])) == 3)
    assert store.values[bus.topic("a")] == [b"1", b"2", b"3"]
    assert bus.dead == [b"bad", b"bad too"]


async def test_the_offset_is_committed_last(bus: Bus) -> None:
    await bus.send("a", *values(5))
    handler = Handler(Store(), keeps=False)
    async with bus.running(handler):
        await until(lambda: bool(handler.begun))
        await asyncio.sleep(2)
    assert await bus.committed("a") is None
    handler.keeps = True
    async with bus.running(handler):
        await until(lambda: handler.store.positions.get(bus.topic("a")) == 5)
        async with asyncio.timeout(30):
            while await bus.committed("a") != 5:
                await asyncio.sleep(0.2)


async def test_an_outage_begins_the_partition_again_and_keeps_no_other_waiting(bus: Bus) -> None:
    await bus.send("a", *values(5))
    await bus.send("b", *values(5))
    store = Store()
    failures: list[RecordBatch] = []

    def fail(batch: RecordBatch) -> None:
        if batch.topic == bus.topic("a") and len(failures) < MAX_TRIES + 2:
            failures.append(batch)
            raise TransientError("away")

    async with bus.running(Handler(store, fail=fail)):
        await until(lambda: len(store.values.get(bus.topic("b"), [])) == 5)
        await until(lambda: len(store.values.get(bus.topic("a"), [])) == 5)
    assert store.values == {bus.topic("a"): values(5), bus.topic("b"): values(5)}


async def test_a_stopped_partition_is_told_and_the_others_go_on(bus: Bus) -> None:
    await bus.send("a", *values(5))
    await bus.send("b", *values(5))
    store = Store()

    def fail(batch: RecordBatch) -> None:
        if batch.topic == bus.topic("a"):
            raise StopPartitionError("a gap")

    async with bus.running(Handler(store, fail=fail)) as subscription:
        await until(lambda: len(store.values.get(bus.topic("b"), [])) == 5)
        await until(lambda: subscription.stopped() == 1)
        assert subscription.problems() == [f"{bus.topic('a')}: a gap"]
    assert bus.topic("a") not in store.values


async def test_an_error_of_unknown_kind_ends_the_process_after_some_tries(bus: Bus) -> None:
    await bus.send("a", b"1")
    tries = []

    def fail(batch: RecordBatch) -> None:
        tries.append(batch)
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        await asyncio.wait_for(bus.subscription(Handler(Store(), fail=fail)).run(), 60)
    assert len(tries) == MAX_TRIES


async def test_a_topic_that_is_made_later_is_read_too(bus: Bus) -> None:
    await bus.send("a", b"1")
    store = Store()
    async with bus.running(Handler(store)):
        await until(lambda: bus.topic("a") in store.values)
        await bus.send("later", b"2")
        await until(lambda: store.values.get(bus.topic("later")) == [b"2"])


async def test_two_members_share_the_topics_and_no_record_is_kept_twice(bus: Bus) -> None:
    for name in ("a", "b", "c", "d"):
        await bus.send(name, *values(50))
    store = Store()
    first, second = Handler(store), Handler(store)
    async with bus.running(first):
        await until(lambda: len(store.values) == 4)
        async with bus.running(second):
            await until(lambda: bool(second.begun))
            for name in ("a", "b", "c", "d"):
                await bus.send(name, *values(50))
            await until(lambda: all(len(kept) == 100 for kept in store.values.values()))
    assert all(kept == values(50) * 2 for kept in store.values.values())


async def test_the_lag_is_the_age_of_the_oldest_record_that_is_not_durable(bus: Bus) -> None:
    await bus.send("a", *values(3))
    handler = Handler(Store(), keeps=False)
    sent = time.time()
    async with bus.running(handler) as subscription:
        assert subscription.lag_s() == 0
        await until(lambda: subscription.lag_s() > 2)
        assert subscription.lag_s() <= time.time() - sent + 10
        handler.keeps = True
        await bus.send("a", b"3")
        await until(lambda: subscription.lag_s() == 0)


async def test_the_lag_grows_through_an_outage(bus: Bus) -> None:
    def away(_: RecordBatch) -> None:
        raise TransientError("S3 is away")

    await bus.send("a", *values(3))
    handler = Handler(Store(), fail=away)
    async with bus.running(handler) as subscription:
        await until(lambda: subscription.lag_s() > 3)
        handler.fail = lambda _: None
        await until(lambda: subscription.lag_s() == 0)
