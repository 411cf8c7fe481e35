"""Output and input offset in one Kafka transaction: a transactional producer for each input partition."""

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber

from shared import crashpoints
from shared.bus.access import DENIED
from shared.bus.delivery import DeferRecord
from shared.bus.kafka import KafkaClients
from shared.bus.messages import Outgoing, Record
from shared.bus.values import value_of
from shared.errors import TransientError
from shared.events.topics import transactional_id_prefix
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.observability.metrics import KAFKA_DENIALS

REBALANCE_PAUSE_S = 0.2
"""How long a record waits whose partition has no producer yet."""

TRANSACTION_TIMEOUT_MS = 30_000

COMPRESSION = "gzip"
"""`run.completed` is for other programs: every Kafka client reads gzip without a further library."""

UNUSABLE = (OutOfOrderSequenceNumber, AssertionError)
"""After a fatal error, such as an expired transactional id, aiokafka refuses every further transaction by an assertion."""

log = get_logger()


class TransactionalProducers:
    """Their transactional ids come from the input partitions, so that a new owner fences the old one."""

    def __init__(self, kafka: KafkaClients, service: str, group: str) -> None:
        self._kafka = kafka
        self._service = service
        self._group = group
        self._producers: dict[TopicPartition, AIOKafkaProducer] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._opening = asyncio.Lock()

    async def publish_with_offset(self, record: Record, outgoing: Sequence[Outgoing]) -> None:
        """All of it and the record's offset are committed, or none of it.

        Raises `DeferRecord` while the record's partition is not assigned, `EventTooLargeError`, `ProducerFenced` where a
        new owner has it, `TransientError` where a right is missing, and `KafkaError` in an outage.
        """
        partition = TopicPartition(record.topic, record.partition)
        producer = await self._of(partition)
        try:
            async with producer.transaction():
                headers = tracing.headers()
                for event in outgoing:
                    await producer.send_and_wait(
                        event.topic, value_of(event), key=event.key.encode(), headers=headers
                    )
                crashpoints.reach(f"{self._service}.transaction")
                await producer.send_offsets_to_transaction({partition: record.offset + 1}, self._group)
        except DENIED as error:
            await self._drop(partition, producer)
            raise self._denied(error) from error
        except UNUSABLE as error:
            # The producer never recovers from that: the record comes again, with a new one.
            await self._drop(partition, producer)
            raise TransientError("the transactional producer was replaced") from error

    async def open(self, assigned: set[TopicPartition]) -> None:
        """A fresh producer for each of these, which fences its former owner; those of others are closed."""
        for producer in [self._producers.pop(tp) for tp in list(self._producers) if tp not in assigned]:
            await _stop(producer)
        self._assigned = frozenset(assigned)
        async with self._opening:
            found = await asyncio.gather(*(self._open_one(tp) for tp in assigned), return_exceptions=True)
        for partition, error in zip(assigned, found, strict=True):
            # The consumer drops what its listener raises, and would not assign again: the first record tries anew.
            if isinstance(error, Exception):
                log.warning(
                    "transactions_not_open", of=f"{partition.topic}-{partition.partition}", error=repr(error)
                )

    async def stop(self) -> None:
        for producer in self._producers.values():
            await _stop(producer)

    async def _of(self, partition: TopicPartition) -> AIOKafkaProducer:
        async with self._opening:
            if partition not in self._assigned:
                # During a rebalance: the record comes again to the partition's next owner.
                raise DeferRecord(REBALANCE_PAUSE_S)
            if partition not in self._producers:
                await self._open_one(partition)
            return self._producers[partition]

    async def _open_one(self, partition: TopicPartition) -> None:
        if (old := self._producers.pop(partition, None)) is not None:
            await _stop(old)
        producer = self._kafka.producer(
            transactional_id=f"{transactional_id_prefix(self._group, partition.topic)}{partition.partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type=COMPRESSION,
        )
        try:
            await producer.start()
        except DENIED as error:
            await _stop(producer)
            raise self._denied(error) from error
        except BaseException:
            await _stop(producer)
            raise
        self._producers[partition] = producer

    async def _drop(self, partition: TopicPartition, producer: AIOKafkaProducer) -> None:
        if self._producers.get(partition) is producer:
            del self._producers[partition]
        await _stop(producer)

    def _denied(self, error: KafkaError) -> TransientError:
        KAFKA_DENIALS.inc()
        return TransientError(self._kafka.denial(error, "Write"))


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, AssertionError):
        await producer.stop()
