"""What Kafka still has of the runs."""

from collections.abc import AsyncIterator
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
    """Reads without a group. Every method raises `ClientError` when Kafka does not answer, or lacks a topic."""

    def __init__(self, consumer: AIOKafkaConsumer, servers: str) -> None:
        self._consumer = consumer
        self._servers = servers

    async def runs_in(self, topic: str) -> set[str]:
        """The keys of every committed record. Costs a read of the whole topic; memory is the keys."""
        partitions = await self._partitions(topic)
        async with as_client_errors(self._servers):
            begins = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
        left = [tp for tp in partitions if begins[tp] < ends[tp]]
        self._consumer.assign(left)
        for tp in left:
            self._consumer.seek(tp, begins[tp])
        found: set[str] = set()
        silent = 0
        while left:
            async with as_client_errors(self._servers):
                records = await self._consumer.getmany(*left, timeout_ms=POLL_MS)
                found |= {raw.key.decode() for raws in records.values() for raw in raws if raw.key}
                left = [tp for tp in left if await self._consumer.position(tp) < ends[tp]]
            silent = 0 if records else silent + 1
            if silent > SILENT_POLLS:
                raise ClientError(f"Kafka at {self._servers} stopped answering while {topic} was read")
        return found

    async def ends_of_dead_letters(self) -> Ends:
        found: Ends = {}
        for service in SERVICES:
            partitions = await self._partitions(topics.dead_letter_topic(service))
            async with as_client_errors(self._servers):
                ends = await self._consumer.end_offsets(partitions)
            found[service] = {tp.partition: ends[tp] for tp in partitions}
        return found

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        async with as_client_errors(self._servers):
            require_topic(topic, await self._consumer.topics(), self._servers)
        numbers = self._consumer.partitions_for_topic(topic) or set()
        return [TopicPartition(topic, number) for number in sorted(numbers)]


@asynccontextmanager
async def open_bus(kafka: KafkaClients) -> AsyncIterator[KnownToBus]:
    consumer = groupless_consumer(kafka, isolation_level="read_committed")
    try:
        async with as_client_errors(kafka.servers):
            await kafka.start(consumer)
        yield KnownToBus(consumer, kafka.servers)
    finally:
        await stop(consumer)
