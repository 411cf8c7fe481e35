"""Between the client library's records and ours."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, ConsumerRecord

from shared.bus.messages import Record


def to_record(raw: ConsumerRecord) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp_ms=raw.timestamp,
        key=raw.key,
        value=raw.value,
        headers=tuple(raw.headers or ()),
    )


async def send_raw(
    producer: AIOKafkaProducer, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]]
) -> None:
    """Sends a record on as it is: its key and value, with these headers. Acked when it returns."""
    if record.key is not None or record.value is not None:
        await producer.send_and_wait(topic, record.value, key=record.key, headers=list(headers))
        return
    # aiokafka sends no record without both, but other clients do; a batch is not asked what is in it.
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=None, headers=list(headers))
    partition = min(await producer.partitions_for(topic))
    await (await producer.send_batch(batch, topic, partition=partition))
