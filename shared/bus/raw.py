"""Records of others, sent on as they are."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from shared.bus.record import Record


async def send_raw(
    producer: AIOKafkaProducer, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]]
) -> None:
    """The record's key and value with these headers. Acked when it returns."""
    if record.key is not None or record.value is not None:
        await producer.send_and_wait(topic, record.value, key=record.key, headers=list(headers))
        return
    # aiokafka sends no record without both, but other clients do; a batch is not asked what is in it.
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=None, headers=list(headers))
    partition = min(await producer.partitions_for(topic))
    await (await producer.send_batch(batch, topic, partition=partition))
