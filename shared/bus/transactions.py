"""Output and input offset in one Kafka transaction: a transactional producer for each input partition."""

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from shared import crashpoints
from shared.bus.policy import NotNowError
from shared.bus.record import Outgoing, Record, value_of

REBALANCE_PAUSE_S = 0.2
"""A record of a partition whose transactions are not open yet waits so long."""

TRANSACTION_TIMEOUT_MS = 30_000


class TransactionalProducers:
    """Their transactional ids come from the input partitions, so that a new owner fences the old one."""

    def __init__(self, servers: Sequence[str], service: str, group: str) -> None:
        self._servers = servers
        self._service = service
        self._group = group
        self._producers: dict[TopicPartition, AIOKafkaProducer] = {}

    async def publish_with_offset(self, record: Record, outgoing: Sequence[Outgoing]) -> None:
        """All of it and the record's offset are committed, or none of it.

        Raises `NotNowError` while the record's partition is not open here, `EventTooLargeError`, and `ProducerFenced`
        where a new owner has it.
        """
        partition = TopicPartition(record.topic, record.partition)
        producer = self._producers.get(partition)
        if producer is None:
            # A rebalance goes on: what was fetched before it comes again to whom it is given.
            raise NotNowError(REBALANCE_PAUSE_S)
        async with producer.transaction():
            for event in outgoing:
                await producer.send_and_wait(event.topic, value_of(event), key=event.key.encode())
            crashpoints.reach(f"{self._service}.transaction")
            await producer.send_offsets_to_transaction({partition: record.offset + 1}, self._group)

    async def open(self, assigned: set[TopicPartition]) -> None:
        """A fresh producer for each of these, which fences whoever had it; those of others are closed."""
        for producer in [self._producers.pop(tp) for tp in list(self._producers) if tp not in assigned]:
            await _stop(producer)
        await asyncio.gather(*(self._open_one(tp) for tp in assigned))

    async def stop(self) -> None:
        for producer in self._producers.values():
            await _stop(producer)

    async def _open_one(self, partition: TopicPartition) -> None:
        if (old := self._producers.pop(partition, None)) is not None:
            await _stop(old)
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            transactional_id=f"{self._group}-{partition.topic}-{partition.partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type="lz4",
        )
        await producer.start()
        self._producers[partition] = producer


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError):
        await producer.stop()
