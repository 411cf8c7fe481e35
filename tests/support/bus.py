"""Topics of one test on a real broker, and a bus that reads them."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from shared.bus.kafka import KafkaClients
from shared.bus.messages import Handler, MarkFailed, Record, dead_letter_only
from shared.bus.publisher import Publisher
from shared.bus.subscriptions import Subscriptions
from shared.settings.kafka import KafkaSettings

SESSION_TIMEOUT_MS = 10_000
REQUESTED_AT = "2026-11-24T06:00:00Z"


def run_drained(run_id: str) -> bytes:
    return json.dumps({"run_id": run_id, "requested_at": REQUESTED_AT}).encode()


class Topics:
    """Topics of one test, and what is in them."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.service = f"svc{uuid.uuid4().hex[:8]}"
        self.input = f"{self.service}.in"
        self.output = f"{self.service}.out"
        self.retry = f"{self.service}.retry"
        self.dead = f"{self.service}.dlq"

    async def create(self, partitions: int = 2) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.create_topics(
            [
                NewTopic(self.input, partitions, 1),
                NewTopic(self.output, 1, 1),
                NewTopic(self.retry, 2, 1),
                NewTopic(self.dead, 1, 1, topic_configs={"max.message.bytes": "2097152"}),
            ]
        )
        await admin.close()

    async def grow_input(self, partitions: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.create_partitions({self.input: NewPartitions(partitions)})
        await admin.close()

    async def send(self, *records: tuple[int, bytes | None, Sequence[tuple[str, bytes | None]]]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers, acks="all") as producer:
            for partition, value, headers in records:
                await producer.send_and_wait(
                    self.input, value, partition=partition, key=b"k", headers=list(headers)
                )

    async def read(self, topic: str, *, isolation: str = "read_uncommitted") -> list[Record]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            enable_auto_commit=False,
            isolation_level=isolation,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, p) for p in await self._partitions(consumer, topic)]
            consumer.assign(partitions)
            found: list[Record] = []
            while batch := await consumer.getmany(timeout_ms=700):
                for messages in batch.values():
                    found += [
                        Record(m.topic, m.partition, m.offset, m.timestamp, m.key, m.value, tuple(m.headers))
                        for m in messages
                    ]
            return found
        finally:
            await consumer.stop()

    async def lag(self) -> int:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=f"onpoint-{self.service}", enable_auto_commit=False
        )
        await consumer.start()
        try:
            lag = 0
            for topic in (self.input, self.retry):
                for number in await self._partitions(consumer, topic):
                    partition = TopicPartition(topic, number)
                    end = (await consumer.end_offsets([partition]))[partition]
                    lag += end - (await consumer.committed(partition) or 0)
            return lag
        finally:
            await consumer.stop()

    async def drained(self, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while await self.lag():
                await asyncio.sleep(0.1)

    @staticmethod
    async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
        # Metadata of a topic that was not asked for before comes with the first look.
        while True:
            await consumer._client.add_topic(topic)  # noqa: SLF001 - aiokafka has no public way to ask
            if found := consumer.partitions_for_topic(topic):
                return sorted(found)
            await asyncio.sleep(0.05)


def plain_kafka(servers: str) -> KafkaClients:
    """Clients of a broker without TLS and login."""
    return KafkaClients(KafkaSettings(kafka_bootstrap_servers=servers), "onpoint-test")


def bus_of(topics: Topics, fatal: Callable[[BaseException], None]) -> tuple[Publisher, Subscriptions]:
    kafka = plain_kafka(topics.servers)
    publisher = Publisher(kafka, topics.service)
    return publisher, Subscriptions(
        kafka, topics.service, publisher, session_timeout_ms=SESSION_TIMEOUT_MS, fatal=fatal
    )


async def joined(bus: Subscriptions) -> None:
    """Until each consumer has its partitions: nothing rebalances the group from here on."""
    subscribers = bus._subscribers  # noqa: SLF001 - only a test asks
    async with asyncio.timeout(60):
        while not all(found.consumer and found.consumer.assignment() for found in subscribers):
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(
    topics: Topics,
    handler: Handler,
    *,
    mark_failed: MarkFailed = dead_letter_only,
    transactional: bool = False,
    workers: int = 1,
) -> AsyncIterator[Subscriptions]:
    faults: list[BaseException] = []
    publisher, bus = bus_of(topics, faults.append)
    if transactional:
        bus.subscribe_transactional(topics.input, handler=handler)
    else:
        bus.subscribe(topics.input, handler=handler, mark_failed=mark_failed, workers=workers)
    await publisher.start()
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
        await publisher.stop()
        assert not faults
