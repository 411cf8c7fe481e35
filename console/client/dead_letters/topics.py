"""Reads the services' dead-letter topics as any Kafka client may: without a group, so nothing is committed."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from aiokafka import AIOKafkaConsumer, TopicPartition

from console.client.dead_letters.record import Position
from console.client.errors import ClientError
from console.client.kafka import as_client_errors, groupless_consumer, require_topic, stop
from shared.bus.kafka import KafkaClients, to_record
from shared.bus.messages import Record
from shared.events.topics import dead_letter_topic
from shared.events.topology import SERVICES

POLL_MS = 1000
RECORDS_AT_ONCE = 500
FETCH_BYTES = 2**20
"""Of one partition at a time; a dead letter that is larger comes alone."""

SILENT_POLLS = 30
"""Empty polls in a row, with records left to read, after which the broker counts as away."""

WORTH_A_SEEK = 1000
"""Dead letters between two wanted ones that are cheaper to read than to seek past."""


class DeadLetterTopics:
    """The topics as they are now: what is appended later is not read, so that every reading ends."""

    def __init__(
        self, consumer: AIOKafkaConsumer, servers: str, partitions: Mapping[str, Sequence[TopicPartition]]
    ) -> None:
        self._consumer = consumer
        self._servers = servers
        self._partitions = partitions
        """Of each topic that is there."""

    def partitions(self, services: Collection[str]) -> list[TopicPartition]:
        """Of the services' topics, as far as they are there."""
        return [tp for service in services for tp in self._partitions.get(dead_letter_topic(service), ())]

    async def of(
        self, services: Collection[str], start: Mapping[TopicPartition, int] | None = None
    ) -> AsyncIterator[tuple[str, list[Record]]]:
        """Every dead letter of the services, in pieces: memory is one piece. In the order of each partition.

        `start`: only these partitions, from these offsets on.
        """
        names = {dead_letter_topic(service): service for service in services}
        ends = await self._position(names, start)
        left, silent = list(ends), 0
        while left:
            async with as_client_errors(self._servers):
                found = await self._consumer.getmany(*left, timeout_ms=POLL_MS, max_records=RECORDS_AT_ONCE)
            silent = 0 if found else silent + 1
            if silent > SILENT_POLLS:
                raise ClientError(f"Kafka at {self._servers} stopped answering while dead letters were read")
            for partition, raws in found.items():
                yield names[partition.topic], [to_record(raw) for raw in raws if raw.offset < ends[partition]]
            left = [tp for tp in left if await self._consumer.position(tp) < ends[tp]]

    async def at(self, positions: Sequence[Position]) -> AsyncIterator[tuple[Position, Record]]:
        """The dead letters at these positions, by partition and offset; those that retention removed are left out."""
        for (service, partition), group in groupby(sorted(positions), key=lambda p: (p.service, p.partition)):
            wanted = [position.offset for position in group]
            async for record in self._wanted(
                service, TopicPartition(dead_letter_topic(service), partition), wanted
            ):
                yield Position(service, partition, record.offset), record

    async def _wanted(
        self, service: str, partition: TopicPartition, offsets: list[int]
    ) -> AsyncIterator[Record]:
        for first, last in stretches(offsets):
            wanted = set(offsets)
            async for _, records in self.of([service], {partition: first}):
                for record in records:
                    if record.offset in wanted:
                        yield record
                if records and records[-1].offset >= last:
                    break

    async def _position(
        self, names: Mapping[str, str], start: Mapping[TopicPartition, int] | None
    ) -> dict[TopicPartition, int]:
        """Where each partition with dead letters ends; the consumer stands where they begin."""
        for topic in names:
            require_topic(topic, self._partitions, self._servers)
        partitions = [tp for topic in names for tp in self._partitions[topic] if start is None or tp in start]
        if not partitions:
            return {}
        # aiokafka then asks for the metadata of all topics at once, instead of one after the other.
        self._consumer.assign(partitions)
        async with as_client_errors(self._servers):
            begins = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
            begins = {tp: max(first, (start or {}).get(tp, 0)) for tp, first in begins.items()}
            filled = [tp for tp in partitions if begins[tp] < ends[tp]]
            self._consumer.assign(filled)
            for tp in filled:
                self._consumer.seek(tp, begins[tp])
            return {tp: ends[tp] for tp in filled}


def stretches(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of what is read in one go. Offsets ascend."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and offset - found[-1][1] <= WORTH_A_SEEK:
            found[-1] = (found[-1][0], offset)
        else:
            found.append((offset, offset))
    return found


@asynccontextmanager
async def open_dead_letters(kafka: KafkaClients) -> AsyncIterator[DeadLetterTopics]:
    """Raises `ClientError` when Kafka does not answer."""
    consumer = groupless_consumer(kafka, max_partition_fetch_bytes=FETCH_BYTES)
    try:
        async with as_client_errors(kafka.servers):
            partitions = await _find_partitions(kafka)
            await kafka.start(consumer)
        yield DeadLetterTopics(consumer, kafka.servers, partitions)
    finally:
        await stop(consumer)


async def _find_partitions(kafka: KafkaClients) -> dict[str, list[TopicPartition]]:
    """Of the services' dead-letter topics, as far as they are there."""
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        existing = set(await admin.list_topics())
        topics = [topic for topic in map(dead_letter_topic, SERVICES) if topic in existing]
        described = await admin.describe_topics(topics)
    finally:
        await admin.close()
    return {
        topic["topic"]: sorted(
            TopicPartition(topic["topic"], partition["partition"]) for partition in topic["partitions"]
        )
        for topic in described
    }
