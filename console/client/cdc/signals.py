"""Records that this side writes for change capture: marks in a table's topic, and signals to the connector."""

import time
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from console.client.cdc.names import topic_of
from console.client.cdc.source import Table
from shared.bus.kafka import KafkaClients
from shared.events.capture import SIGNALS, TOPIC_PREFIX


async def make_signals_topic(kafka: KafkaClients, replication: int) -> None:
    """The connector reads it. Idempotent."""
    admin = kafka.admin()
    await kafka.start(admin)
    try:
        answer = await admin.create_topics([NewTopic(SIGNALS, 1, replication)])
        for _, code, *_ in answer.topic_errors:
            if code and not issubclass(for_code(code), TopicAlreadyExistsError):
                raise for_code(code)(SIGNALS)
    finally:
        await admin.close()


async def mark_anew(kafka: KafkaClients, tables: Sequence[Table], lsn: int) -> list[Table]:
    """Writes that a full load follows into the topics that are there: rows before the mark count no more.

    The mark looks as a TRUNCATE does, so that a reader of the lake needs no second rule. Returns the tables marked.
    """
    consumer = kafka.consumer(enable_auto_commit=False)
    await kafka.start(consumer)
    try:
        there = await consumer.topics()
    finally:
        await consumer.stop()
    marked = [table for table in tables if topic_of(table.schema, table.name) in there]
    source = {"ts_ms": int(time.time() * 1000), "lsn": lsn, "txId": None}
    mark = {"before": None, "after": None, "source": source, "op": "t"}
    await _send(kafka, [(topic_of(table.schema, table.name), None, mark) for table in marked])
    return marked


async def ask_for_load(kafka: KafkaClients, tables: Sequence[Table], *, blocking: bool) -> None:
    """Asks the running connector for a full load of these tables. `blocking`: changes of all tables wait for it."""
    names = [f"{table.schema}.{table.name}" for table in tables]
    data = {"data-collections": names, "type": "BLOCKING" if blocking else "INCREMENTAL"}
    signal = {"type": "execute-snapshot", "data": data}
    await _send(kafka, [(SIGNALS, TOPIC_PREFIX.encode(), signal)])


async def _send(kafka: KafkaClients, records: Sequence[tuple[str, bytes | None, Any]]) -> None:
    if not records:
        return
    producer = kafka.producer(acks="all", enable_idempotence=True)
    await kafka.start(producer)
    try:
        for topic, key, value in records:
            await producer.send_and_wait(topic, orjson.dumps(value), key=key, partition=0)
    finally:
        await producer.stop()
