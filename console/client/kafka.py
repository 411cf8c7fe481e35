"""Kafka as any client uses it: publishes a run request, and reads the completion of a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from console.client.errors import ClientError
from console.client.untrusted_json import parse_object
from shared.bus.header_names import take_any
from shared.bus.kafka import KafkaClients
from shared.events.topics import CRAWL_REQUESTED, RUN_COMPLETED

PUBLISH_TIMEOUT_S = 30.0
"""An idempotent producer waits out an outage of any length; a person does not."""

STOP_TIMEOUT_S = 2.0

COMPLETIONS = TopicPartition(RUN_COMPLETED, 0)
"""The topic has one partition, as declared in deploy/kafka/topics.yaml."""

MAX_REQUEST_BYTES = 1_000_000
"""As the services': a record that the broker refuses would poison an idempotent producer."""


class NotAcknowledgedError(ClientError):
    """The broker did not acknowledge the request in time. It may have it all the same."""


async def publish_request(kafka: KafkaClients, run_id: str, value: bytes) -> None:
    """Publishes to `crawl.requested`; returns when every replica in sync has it.

    Raises `ClientError` when Kafka cannot be reached or refuses, `NotAcknowledgedError` after 30 s of silence.
    """
    if len(value) > MAX_REQUEST_BYTES:
        raise ClientError(f"the request has {len(value):,} bytes, {MAX_REQUEST_BYTES:,} at most are taken")
    servers = kafka.servers
    producer = kafka.producer(acks="all", enable_idempotence=True, max_request_size=MAX_REQUEST_BYTES)
    sent = False
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            await kafka.start(producer)
            metadata = await producer.client.fetch_all_metadata()
            require_topic(CRAWL_REQUESTED, metadata.topics(), servers)
            sent = True
            await producer.send_and_wait(CRAWL_REQUESTED, value=value, key=run_id.encode())
    except TimeoutError as error:
        if not sent:
            raise ClientError(silent(servers)) from error
        raise NotAcknowledgedError(
            f"Kafka at {servers} did not acknowledge the request within {PUBLISH_TIMEOUT_S:.0f} s; the run may start "
            f"all the same: see `onpoint status {run_id}`, or ask again with --run-id {run_id}, which is safe"
        ) from error
    except (KafkaError, OSError) as error:
        raise ClientError(f"Kafka at {servers} did not take the request: {reason(error)}") from error
    finally:
        await stop(producer)


async def publish(kafka: KafkaClients, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    """Publishes keys and values; returns when every replica in sync has them. Raises `ClientError`."""
    producer = kafka.producer(acks="all", enable_idempotence=True, max_request_size=MAX_REQUEST_BYTES)
    try:
        async with as_client_errors(kafka.servers):
            await kafka.start(producer)
            metadata = await producer.client.fetch_all_metadata()
            require_topic(topic, metadata.topics(), kafka.servers)
            for key, value in records:
                await producer.send_and_wait(topic, value=value, key=key.encode())
    finally:
        await stop(producer)


class CompletionConsumer:
    """Reads `run.completed` from where it ended at opening; what comes later is found, however late `of` is called."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def of(self, run_id: str) -> dict[str, Any]:
        """The value of the run's `run.completed`. Waits without end; an outage of Kafka is waited out."""
        while True:
            try:
                record = await self._consumer.getone()
            except KafkaError:
                await asyncio.sleep(1)
                continue
            value = parse_object(record.value)
            if value.get("run_id") == run_id:
                return value


@asynccontextmanager
async def open_completions(kafka: KafkaClients) -> AsyncIterator[CompletionConsumer]:
    """Open it before the request is published, so that no completion is missed.

    Raises `ClientError` when Kafka does not answer.
    """
    consumer = groupless_consumer(kafka, isolation_level="read_committed")
    try:
        async with as_client_errors(kafka.servers):
            await kafka.start(consumer)
            require_topic(RUN_COMPLETED, await consumer.topics(), kafka.servers)
            consumer.assign([COMPLETIONS])
            consumer.seek(COMPLETIONS, (await consumer.end_offsets([COMPLETIONS]))[COMPLETIONS])
        yield CompletionConsumer(consumer)
    finally:
        await stop(consumer)


def groupless_consumer(kafka: KafkaClients, **options: Any) -> AIOKafkaConsumer:
    """Of no group: nothing is committed, no group is rebalanced. It begins with the earliest record; not started."""
    take_any()
    return kafka.consumer(group_id=None, enable_auto_commit=False, auto_offset_reset="earliest", **options)


@asynccontextmanager
async def as_client_errors(servers: str) -> AsyncIterator[None]:
    """Bounds the time of what is done inside, and turns Kafka's errors into a `ClientError` that names the brokers."""
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise ClientError(silent(servers)) from error
    except (KafkaError, OSError) as error:
        raise ClientError(f"Kafka at {servers} cannot be reached: {reason(error)}") from error


def require_topic(topic: str, topics: Collection[str], servers: str) -> None:
    """The clients themselves would wait for a topic that is missing."""
    if topic not in topics:
        raise ClientError(f"Kafka at {servers} has no topic {topic}: run `onpoint topics apply`")


def silent(servers: str) -> str:
    return f"Kafka at {servers} did not answer within {PUBLISH_TIMEOUT_S:.0f} s"


def reason(error: Exception) -> str:
    """The error's text; aiokafka's own lists address structures where no broker answered."""
    if isinstance(error, KafkaConnectionError):
        return "nothing answers there"
    return str(error) or type(error).__name__


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Bounded: a producer with an unsent record would wait for a broker that is away."""
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await client.stop()
