"""What Kafka still has of the runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from console.client.errors import ClientError
from console.client.kafka import as_client_errors, groupless_consumer, require_topic, stop
from shared.bus.kafka import KafkaClients
from shared.events import topics
from shared.events.topology import SERVICES

POLL_MS = 500
SILENT_POLLS = 20

Ends = dict[str, dict[int, int]]
"""By service and partition: where its topic of dead letters ends."""


class KnownToBus:
    """Reads without a group. Every method raises `ClientError` when Kafka does not answer."""

    def __init__(
        self, consumer: AIOKafkaConsumer, servers: str, partitions: Mapping[str, Sequence[TopicPartition]]
    ) -> None:
        self._consumer = consumer
        self._servers = servers
        self._partitions = partitions

    async def runs_in(self, topic: str) -> set[str]:
        """The keys of every committed record. Costs a read of the whole topic; memory is the keys."""
        ends = await self._position(topic)
        left, silent = list(ends), 0
        found: set[str] = set()
        while left:
            async with as_client_errors(self._servers):
                records = await self._consumer.getmany(*left, timeout_ms=POLL_MS)
                found |= {
                    raw.key.decode(errors="replace") for raws in records.values() for raw in raws if raw.key
                }
                left = [tp for tp in left if await self._consumer.position(tp) < ends[tp]]
            silent = 0 if records else silent + 1
            if silent > SILENT_POLLS:
                raise ClientError(f"Kafka at {self._servers} stopped answering while {topic} was read")
        return found

    async def ends_of_dead_letters(self) -> Ends:
        found: Ends = {}
        for service in SERVICES:
            partitions = self._partitions[topics.dead_letter_topic(service)]
            async with as_client_errors(self._servers):
                ends = await self._consumer.end_offsets(partitions)
            found[service] = {tp.partition: ends[tp] for tp in partitions}
        return found

    async def _position(self, topic: str) -> dict[TopicPartition, int]:
        """Where each partition with records ends; the consumer stands where they begin."""
        partitions = self._partitions[topic]
        async with as_client_errors(self._servers):
            begins = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
        filled = [tp for tp in partitions if begins[tp] < ends[tp]]
        self._consumer.assign(filled)
        for tp in filled:
            self._consumer.seek(tp, begins[tp])
        return {tp: ends[tp] for tp in filled}


@asynccontextmanager
async def open_bus(kafka: KafkaClients) -> AsyncIterator[KnownToBus]:
    """Raises `ClientError` when Kafka does not answer, or lacks a topic."""
    consumer = groupless_consumer(kafka, isolation_level="read_committed")
    try:
        async with as_client_errors(kafka.servers):
            partitions = await _find_partitions(kafka)
            await kafka.start(consumer)
        yield KnownToBus(consumer, kafka.servers, partitions)
    finally:
        await stop(consumer)


async def _find_partitions(kafka: KafkaClients) -> dict[str, list[TopicPartition]]:
    wanted = [topics.RUN_COMPLETED, topics.RUN_DRAINED, *map(topics.dead_letter_topic, SERVICES)]
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        existing = await admin.list_topics()
        for topic in wanted:
            require_topic(topic, existing, kafka.servers)
        described = await admin.describe_topics(wanted)
    finally:
        await admin.close()
    return {
        topic["topic"]: sorted(
            TopicPartition(topic["topic"], partition["partition"]) for partition in topic["partitions"]
        )
        for topic in described
    }
