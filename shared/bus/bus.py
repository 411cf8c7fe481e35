"""Kafka as a service sees it: subscribe handlers, publish events. FastStream consumes, aiokafka produces."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.kafka.subscriber.usecase import LogicSubscriber
from faststream.message import StreamMessage

from shared import crashpoints
from shared.bus.attempt import RETRY_DELAY_S, Attempt, first_attempt, next_attempt, retry_headers
from shared.bus.dead_letters import Failure, dead_letter_headers, fit_letter
from shared.bus.header_names import take_any
from shared.bus.kafka import send_raw, to_record
from shared.bus.messages import Bury, Handler, Outgoing, Record, Revive, bury_alone, revive_nothing, value_of
from shared.bus.middleware import Settling
from shared.bus.policy import AtLeastOnce
from shared.bus.rebalance import DrainListener
from shared.bus.transactions import TransactionalProducers
from shared.errors import PermanentError
from shared.events import topics
from shared.observability.logging import get_logger
from shared.observability.metrics import BROKER_REACHABLE, MEMORY_USED_RATIO
from shared.reasons import Reason
from shared.runtime.memory import Memory
from shared.settings.kafka import KafkaSettings

HEARTBEAT_INTERVAL_MS = 1_000
"""A member learns of a rebalance with its next heartbeat, so this bounds how long a start or a join takes."""

WORST_HANDLER_S = 600
"""A rate-limited batch of 1,000 requests takes minutes. A rebalance waits so long for what is in flight."""

DRAIN_S = 25
"""A stopping process lets handlers finish for so long; what is cut off comes again elsewhere."""

MAX_DEAD_LETTER_BYTES = 2_000_000
"""A record of at most 1 MiB, its headers and ours. The topics allow 2 MiB. What another client squeezed into
1 MiB may be far larger: its letter is cut."""

MONITOR_INTERVAL_S = 2.0

PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "compression_type": "lz4",
    "linger_ms": 2,
    "max_request_size": MAX_DEAD_LETTER_BYTES,
}

log = get_logger()


class Bus:
    """One per process. Subscriptions are made before `start`; `start` needs a broker that answers."""

    def __init__(
        self, settings: KafkaSettings, service: str, *, fatal: Callable[[BaseException], None]
    ) -> None:
        self._service = service
        self._group = topics.consumer_group(service)
        self._servers = settings.kafka_bootstrap_servers.split(",")
        self._session_timeout_ms = settings.kafka_session_timeout_ms
        self._fatal = fatal
        self._bury: dict[str, Bury] = {}
        self._revive: dict[str, Revive] = {}
        self._transactional = TransactionalProducers(self._servers, service, self._group)
        self._handlers: dict[str, Handler] = {}
        self._policy = AtLeastOnce(
            service, self._bury_record, self._send_dead_letter, self._send_to_retry, fatal
        )
        self._middleware = partial(Settling, self._policy)
        self._broker = KafkaBroker(
            self._servers,
            client_id=f"onpoint-{service}",
            consumer_only=True,
            graceful_timeout=DRAIN_S,
            allow_auto_create_topics=False,
            apply_types=False,
            middlewares=[self._middleware],
            parser=_parse,
            decoder=_decode,
            logger=None,
        )
        self._subscribers: list[LogicSubscriber[Any]] = []
        self._shared_topics: tuple[str, ...] = ()
        self._reads_retries = False
        self._producer: AIOKafkaProducer | None = None
        self._monitor: asyncio.Task[None] | None = None
        self.unreachable_since: datetime | None = None

    def subscribe(
        self,
        *names: str,
        handler: Handler,
        bury: Bury = bury_alone,
        revive: Revive = revive_nothing,
        workers: int = 1,
    ) -> None:
        """Every record of the topics goes through `handler`, at least once, in the order of its partition.

        All subscriptions with one worker share one consumer; otherwise `workers` consumers share the partitions of
        their one topic.
        """
        self._handlers.update(dict.fromkeys(names, handler))
        self._bury.update(dict.fromkeys(names, bury))
        self._revive.update(dict.fromkeys(names, revive))
        if workers == 1:
            self._shared_topics += names
        else:
            self._subscribe(names, self._handle, workers)

    def subscribe_transactional(self, name: str, *, handler: Handler, bury: Bury = bury_alone) -> None:
        """As `subscribe`, but output and input offset are one Kafka transaction: exactly once for `read_committed`.

        So is what `bury` announces. A dead letter that is replayed becomes a new record of the topic: only there it
        is handled.
        """

        async def handle(record: Record) -> None:
            self._policy.check_may_go(first_attempt(record))
            await self._transactional.publish_with_offset(record, await handler(record))

        self._policy.commits_itself = self._policy.commits_itself | {name}
        self._bury[name] = bury
        self._subscribe((name,), handle, 1, assigned=self._transactional.open)

    async def start(self) -> None:
        """Raises `AssertionError` if any subscriber is not at least once."""
        take_any()
        if not self._reads_retries:
            self._reads_retries = True
            self._subscribe((*self._shared_topics, topics.retry_topic(self._service)), self._handle, 1)
        self.assert_at_least_once()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._servers, client_id=f"onpoint-{self._service}", **PRODUCER
        )
        await self._producer.start()
        BROKER_REACHABLE.set(1)
        await self._broker.start()
        self._monitor = asyncio.create_task(self._watch_broker())

    async def stop(self) -> None:
        """Lets handlers finish for `DRAIN_S`, then leaves the group. What was not committed comes again."""
        if self._monitor is not None:
            self._monitor.cancel()
        await self._broker.stop()
        if self._producer is not None:
            with contextlib.suppress(KafkaError):
                await self._producer.stop()
        await self._transactional.stop()

    def assert_at_least_once(self) -> None:
        for subscriber in cast("list[LogicSubscriber[Any]]", self._broker.subscribers):
            arguments: dict[str, Any] = subscriber._connection_args  # noqa: SLF001 - no public view of what aiokafka gets
            if subscriber.ack_policy is not AckPolicy.MANUAL or arguments["enable_auto_commit"]:
                raise AssertionError(
                    f"{subscriber} could lose records: its policy is {subscriber.ack_policy}"
                )
            if arguments["auto_offset_reset"] != "earliest":
                raise AssertionError(f"{subscriber} would miss what was published before it joined")
        if next(iter(self._broker.middlewares)) is not self._middleware:
            raise AssertionError("the at-least-once policy must be the outermost middleware")

    async def publish_all(self, outgoing: Sequence[Outgoing]) -> None:
        """All are acked by the broker when it returns. Waits through an outage. Raises `EventTooLargeError`."""
        if not outgoing:
            return
        crashpoints.reach(f"{self._service}.publish")
        producer = self._require_producer()
        values = [value_of(event) for event in outgoing]
        await asyncio.gather(
            *(
                producer.send_and_wait(event.topic, value, key=event.key.encode())
                for event, value in zip(outgoing, values, strict=True)
            )
        )

    async def send_dead_letter(self, record: Record, error: PermanentError) -> None:
        """For a record that was handled, and whose work failed afterwards. Acked when it returns."""
        now = datetime.now(UTC)
        await self._send_dead_letter(record, Failure(error, 1, now, now))

    def complaints(self) -> list[str]:
        """Why the service is not ready: what a person should hear."""
        if self._producer is None:
            return ["waiting for Kafka"]
        if self.unreachable_since is not None:
            return [f"broker unreachable since {self.unreachable_since.isoformat()}"]
        braked = self._policy.brake
        if braked.on_since is not None:
            return [f"paused by the brake since {braked.on_since.isoformat()}: {braked.why}"]
        return [
            f"partition {tp.topic}-{tp.partition} paused since {since.isoformat()}"
            for tp, since in self._policy.paused_since.items()
        ]

    def mind_memory(self, found: Memory) -> None:
        """Above four fifths of the limit, records wait until what is in hand is done."""
        MEMORY_USED_RATIO.set(found.used_bytes / found.limit_bytes)
        if found.is_tight != self._policy.memory_is_tight:
            self._policy.memory_is_tight = found.is_tight
            log.warning("memory_tight" if found.is_tight else "memory_eased", used_bytes=found.used_bytes)

    def release_brake(self) -> bool:
        """Lets records flow again; those that waited come within seconds. True if the brake was on."""
        return self._policy.release_brake()

    def dead_loops(self) -> list[str]:
        """Consume loops that ended: only a restart helps."""
        if self._monitor is None:
            return []
        return [
            f"consume loop of {subscriber.topic_names} ended"
            for subscriber in self._subscribers
            if subscriber.running and subscriber.tasks and all(task.done() for task in subscriber.tasks)
        ]

    def _subscribe(
        self,
        names: Sequence[str],
        handle: Callable[[Record], Awaitable[None]],
        workers: int,
        assigned: Callable[[set[TopicPartition]], Awaitable[None]] | None = None,
    ) -> None:
        subscriber = self._broker.subscriber(
            *names,
            group_id=self._group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            listener=DrainListener(self._policy, 0.9 * WORST_HANDLER_S, assigned),
            rebalance_timeout_ms=WORST_HANDLER_S * 1000,
            max_poll_interval_ms=2 * WORST_HANDLER_S * 1000,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_workers=workers,
        )
        subscriber(handle)
        self._subscribers.append(subscriber)

    async def _handle(self, record: Record) -> None:
        is_retry = record.topic == topics.retry_topic(self._service)
        await self._try(next_attempt(record) if is_retry else first_attempt(record))

    async def _try(self, attempt: Attempt) -> None:
        self._policy.check_may_go(attempt)
        record = attempt.record
        if record.topic in self._policy.commits_itself:
            await send_raw(self._require_producer(), record.topic, record, record.headers)
            return
        handler = self._handlers.get(record.topic)
        if handler is None:
            raise PermanentError(Reason.SCHEMA, f"{self._service} does not read {record.topic!r:.100}")
        if attempt.is_replay:
            await self._revive[record.topic](record)
        await self.publish_all(await handler(record))

    async def _send_to_retry(self, attempt: Attempt, first_failed_at: datetime) -> None:
        due_at = datetime.now(UTC) + timedelta(seconds=RETRY_DELAY_S)
        headers = retry_headers(attempt, first_failed_at=first_failed_at, due_at=due_at)
        await send_raw(self._require_producer(), topics.retry_topic(self._service), attempt.record, headers)

    async def _bury_record(self, record: Record, failure: Failure) -> None:
        bury = self._bury.get(record.topic, bury_alone)
        if record.topic in self._policy.commits_itself:
            # First: once its death is committed, nothing would tell of it again. A second letter is the same entry.
            await self._send_dead_letter(record, failure)
            announce = (await bury(record, failure.error)).announce
            if announce:
                await self._transactional.publish_with_offset(record, announce)
            return
        burial = await bury(record, failure.error)
        # Somebody cancelled the run: there is nothing for people to do about it.
        if burial.dead and failure.error.reason is not Reason.CANCELLED:
            await self._send_dead_letter(record, failure)
        await self.publish_all(burial.announce)

    async def _send_dead_letter(self, record: Record, failure: Failure) -> None:
        crashpoints.reach(f"{self._service}.dead_letter")
        body, cut = fit_letter(record, MAX_DEAD_LETTER_BYTES)
        headers = dead_letter_headers(body, failure, service=self._service, group=self._group)
        await send_raw(
            self._require_producer(), topics.dead_letter_topic(self._service), body, [*headers, *cut]
        )

    async def _watch_broker(self) -> None:
        client = self._require_producer().client
        while True:
            reachable = bool(await client.force_metadata_update())
            BROKER_REACHABLE.set(int(reachable))
            if reachable and self.unreachable_since is not None:
                log.info("broker_reachable", unreachable_since=self.unreachable_since.isoformat())
                self.unreachable_since = None
            elif not reachable and self.unreachable_since is None:
                self.unreachable_since = datetime.now(UTC)
                log.warning("broker_unreachable", since=self.unreachable_since.isoformat())
            await asyncio.sleep(MONITOR_INTERVAL_S)

    def _require_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the bus is not started")
        return self._producer


async def _parse(raw: ConsumerRecord) -> KafkaMessage:
    """Headers stay undecoded: FastStream's own parser raises on those that are no text."""
    return KafkaMessage(
        body=raw.value or b"", raw_message=raw, headers={}, consumer=getattr(raw, "consumer", FAKE_CONSUMER)
    )


async def _decode(message: StreamMessage[ConsumerRecord]) -> Record:
    return to_record(message.raw_message)
