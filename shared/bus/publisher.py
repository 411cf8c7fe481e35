"""Publishes a service's events, dead letters, and records for a later try."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from shared import crashpoints
from shared.bus.access import DENIED
from shared.bus.dead_letters import Failure, dead_letter_headers, truncate_to_limit
from shared.bus.kafka import KafkaClients, send_raw
from shared.bus.messages import Outgoing, Record
from shared.bus.retry_headers import RETRY_DELAY_S, Attempt, retry_headers
from shared.bus.values import value_of
from shared.errors import PermanentError, TransientError
from shared.events import topics
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.observability.metrics import BROKER_REACHABLE, DEAD_LETTERS, KAFKA_DENIALS

MAX_DEAD_LETTER_BYTES = 2_000_000
"""A record of at most 1 MiB, its headers and the `dlq.*` headers. The topics allow 2 MiB. A record that another client
compressed to 1 MiB may be far larger: its dead-letter record is truncated."""

MONITOR_INTERVAL_S = 2.0
MONITOR_TIMEOUT_S = 30.0

RETIRE_S = 5.0
"""A stopping process waits this long for producers that were replaced."""

PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "compression_type": "lz4",
    "linger_ms": 2,
    "max_request_size": MAX_DEAD_LETTER_BYTES,
}

UNUSABLE_PRODUCER = (OutOfOrderSequenceNumber, UnknownProducerId, ProducerFenced)
"""After a network fault or a refused record the broker may no longer take an idempotent producer's sequence. The producer
never recovers from that. Neither does a producer whose sender task has ended."""

log = get_logger()


class Publisher:
    """One per process. `start` needs a broker that answers.

    Every method that publishes raises `TransientError` where a right is missing, and where the broker no longer takes the
    producer's sequence, or its sender has ended: a new producer is in place then, and the record comes again.
    """

    def __init__(self, kafka: KafkaClients, service: str) -> None:
        self._kafka = kafka
        self._service = service
        self._group = topics.consumer_group(service)
        self._producer: AIOKafkaProducer | None = None
        self._monitor: asyncio.Task[None] | None = None
        self._replacing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self.unreachable_since: datetime | None = None

    async def start(self) -> None:
        """Raises `KafkaAccessError` where the brokers refuse this service."""
        self._producer = self._kafka.producer(**PRODUCER)
        await self._kafka.start(self._producer)
        BROKER_REACHABLE.set(1)
        self._monitor = asyncio.create_task(self._watch_broker())

    async def stop(self) -> None:
        """Sends the buffered records first."""
        if self._monitor is not None:
            self._monitor.cancel()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=RETIRE_S)
        if self._producer is not None:
            with contextlib.suppress(KafkaError):
                await self._producer.stop()

    async def publish_all(self, outgoing: Sequence[Outgoing]) -> None:
        """All are acked by the broker when it returns. Waits through an outage. Raises `EventTooLargeError`."""
        if not outgoing:
            return
        crashpoints.reach(f"{self._service}.publish")
        values = [value_of(event) for event in outgoing]
        with tracing.span(f"publish {outgoing[0].topic}", "producer", {"messaging.system": "kafka"}):
            headers = tracing.headers()
            async with self._usable_producer() as producer:
                await asyncio.gather(
                    *(
                        producer.send_and_wait(event.topic, value, key=event.key.encode(), headers=headers)
                        for event, value in zip(outgoing, values, strict=True)
                    )
                )

    async def send_again(self, record: Record) -> None:
        """Publishes the record to its own topic, as it is. Acked when it returns."""
        await self._send(record.topic, record, record.headers)

    async def send_to_retry(self, attempt: Attempt, first_failed_at: datetime) -> None:
        """Publishes the record to the service's retry topic. Acked when it returns."""
        due_at = datetime.now(UTC) + timedelta(seconds=RETRY_DELAY_S)
        headers = retry_headers(attempt, first_failed_at=first_failed_at, due_at=due_at)
        await self._send(topics.retry_topic(self._service), attempt.record, headers)

    async def send_dead_letter(self, record: Record, error: PermanentError) -> None:
        """For a record that was handled, and whose work failed afterwards. Acked when it returns."""
        now = datetime.now(UTC)
        await self.send_failure(record, Failure(error, 1, now, now))

    async def send_failure(self, record: Record, failure: Failure) -> None:
        """Publishes the record to the service's dead-letter topic. Acked when it returns."""
        crashpoints.reach(f"{self._service}.dead_letter")
        body, truncated = truncate_to_limit(record, MAX_DEAD_LETTER_BYTES)
        headers = dead_letter_headers(body, failure, service=self._service, group=self._group)
        await self._send(topics.dead_letter_topic(self._service), body, [*headers, *truncated])
        DEAD_LETTERS.labels(record.topic, failure.error.reason).inc()

    async def _send(self, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]]) -> None:
        async with self._usable_producer() as producer:
            await send_raw(producer, topic, record, headers)

    @asynccontextmanager
    async def _usable_producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = self._require_producer()
        try:
            yield producer
        except DENIED as error:
            KAFKA_DENIALS.inc()
            raise TransientError(self._kafka.denial(error, "Write")) from error
        except KafkaError as error:
            if not isinstance(error, UNUSABLE_PRODUCER) and not _has_failed(producer, error):
                raise
            await self._replace(producer, error)
            raise TransientError(f"the producer was replaced: {type(error).__name__}") from error

    async def _replace(self, producer: AIOKafkaProducer, error: KafkaError) -> None:
        """Once for each producer, however many of its records failed."""
        async with self._replacing:
            if self._producer is not producer:
                return
            fresh = self._kafka.producer(**PRODUCER)
            try:
                await fresh.start()
            except BaseException:
                await fresh.stop()
                raise
            self._producer = fresh
        log.warning("producer_replaced", error=type(error).__name__)
        # Its buffer may have records of other handlers: it is closed when they are sent.
        task = asyncio.create_task(_retire(producer))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _watch_broker(self) -> None:
        while True:
            reachable = await self._is_broker_reachable()
            BROKER_REACHABLE.set(int(reachable))
            if reachable and self.unreachable_since is not None:
                log.info("broker_reachable", unreachable_since=self.unreachable_since.isoformat())
                self.unreachable_since = None
            elif not reachable and self.unreachable_since is None:
                self.unreachable_since = datetime.now(UTC)
                why = {"why": problem} if (problem := self._kafka.login_problem) else {}
                log.warning("broker_unreachable", since=self.unreachable_since.isoformat(), **why)
            await asyncio.sleep(MONITOR_INTERVAL_S)

    async def _is_broker_reachable(self) -> bool:
        """Bounded: a client that is closed meanwhile never answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MONITOR_TIMEOUT_S):
                return bool(await self._require_producer().client.force_metadata_update())
        return False

    def _require_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the publisher is not started")
        return self._producer


def _has_failed(producer: AIOKafkaProducer, error: KafkaError) -> bool:
    """A fatal error ends the sender. So does `stop`, whose producer is not replaced."""
    return bool(producer._sender.sender_task.done()) and not isinstance(error, ProducerClosed)  # noqa: SLF001 - not public


async def _retire(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError):
        await producer.stop()
