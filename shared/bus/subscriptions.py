"""The records that a service reads, each given to its handler at least once. FastStream consumes, aiokafka produces."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka.subscriber.usecase import LogicSubscriber

from shared.bus.broker import ConsumingBroker
from shared.bus.consumer import LEAVE_S, GroupConsumer
from shared.bus.dead_letters import Failure
from shared.bus.delivery import AtLeastOnce
from shared.bus.header_names import take_any
from shared.bus.kafka import KafkaClients
from shared.bus.lag import LagMeter
from shared.bus.messages import Handler, MarkFailed, Record, Redrive, dead_letter_only, no_failure_to_clear
from shared.bus.middleware import Settling
from shared.bus.publisher import Publisher
from shared.bus.rebalance import DrainListener
from shared.bus.retry_headers import first_attempt, next_attempt
from shared.bus.transactions import TransactionalProducers
from shared.errors import PermanentError
from shared.events import topics
from shared.events.topology import PUBLISHES
from shared.observability.logging import get_logger
from shared.observability.metrics import (
    KAFKA_DENIALS,
    MEMORY_LIMIT_BYTES,
    MEMORY_USED_RATIO,
    PARTITIONS_ASSIGNED,
    RECORDS_IN_FLIGHT,
)
from shared.reasons import Reason
from shared.runtime.memory import Memory

HEARTBEAT_INTERVAL_MS = 1_000
"""A member learns of a rebalance with its next heartbeat, so this bounds how long a start or a join takes."""

WORST_HANDLER_S = 600
"""A rate-limited batch of 1,000 requests takes minutes. A rebalance waits that long for records in flight."""

DRAIN_S = 25
"""A stopping process waits that long for its handlers. A record that is cut off comes again elsewhere."""

DENIAL_S = 30.0
"""A denied fetch is tried again every few seconds. Without a record, nothing else tells that the ACL was mended."""

log = get_logger()


class Subscriptions:
    """One per process. Subscriptions are made before `start`; `start` needs a publisher that is started."""

    def __init__(
        self,
        kafka: KafkaClients,
        service: str,
        publisher: Publisher,
        *,
        session_timeout_ms: int,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._service = service
        self._group = topics.consumer_group(service)
        self._session_timeout_ms = session_timeout_ms
        self._kafka = kafka
        self._publisher = publisher
        self._handlers: dict[str, Handler] = {}
        self._mark_failed: dict[str, MarkFailed] = {}
        self._redrive: dict[str, Redrive] = {}
        self._transactional = TransactionalProducers(kafka, service, self._group)
        self._policy = AtLeastOnce(
            service, self._mark_record_failed, publisher.send_failure, publisher.send_to_retry, fatal
        )
        self._middleware = partial(Settling, self._policy)
        self._broker = ConsumingBroker(
            kafka.servers.split(","),
            partial(kafka.consumer_of, GroupConsumer, denied=self._set_denied),
            client_id=kafka.client_id,
            graceful_timeout=LEAVE_S,
            middlewares=[self._middleware],
        )
        self._subscribers: list[LogicSubscriber[Any]] = []
        self._shared_topics: tuple[str, ...] = ()
        self._reads_retries = False
        self._is_started = False
        self._denials: dict[GroupConsumer, tuple[str, float]] = {}
        self.lag = LagMeter(kafka, self._group, self.assigned, self._policy.in_flight.begun_ms)
        """Measured by whoever runs it."""
        RECORDS_IN_FLIGHT.set_function(self._policy.in_flight.total)
        PARTITIONS_ASSIGNED.set_function(lambda: len(self.assigned()))

    def subscribe(
        self,
        *names: str,
        handler: Handler,
        mark_failed: MarkFailed = dead_letter_only,
        redrive: Redrive = no_failure_to_clear,
        workers: int = 1,
        apart: bool = False,
    ) -> None:
        """Every record of the topics goes through `handler`, at least once, in the order of its partition.

        All subscriptions with one worker share one consumer, except those that are `apart`, as their records take long. With
        more, `workers` consumers share the partitions of one topic. Retries have a consumer of their own, so that a large
        replay delays no new record.
        """
        self._handlers.update(dict.fromkeys(names, handler))
        self._mark_failed.update(dict.fromkeys(names, mark_failed))
        self._redrive.update(dict.fromkeys(names, redrive))
        if workers == 1 and not apart:
            self._shared_topics += names
        else:
            self._subscribe(names, self._handle, workers)

    def subscribe_transactional(
        self, name: str, *, handler: Handler, mark_failed: MarkFailed = dead_letter_only
    ) -> None:
        """As `subscribe`, but output and input offset are one Kafka transaction: exactly once for `read_committed`.

        That includes the events of `mark_failed`. A dead letter that is redriven becomes a new record of the topic.
        """

        async def handle(record: Record) -> None:
            self._policy.check_may_go(first_attempt(record))
            await self._transactional.publish_with_offset(record, await handler(record))

        self._policy.commits_itself = self._policy.commits_itself | {name}
        self._mark_failed[name] = mark_failed
        self._subscribe((name,), handle, 1, assigned=self._transactional.open)

    async def start(self) -> None:
        """Raises `KafkaAccessError` where an ACL is missing, `AssertionError` if a subscriber could lose records."""
        take_any()
        if not self._shared_topics and not self._subscribers:
            self.assert_at_least_once()
            return  # a process that reads no events, only rows
        if not self._reads_retries:
            self._reads_retries = True
            if self._shared_topics:
                self._subscribe(self._shared_topics, self._handle, 1)
            self._subscribe((topics.retry_topic(self._service),), self._handle, 1)
        self.assert_at_least_once()
        await self._kafka.check_permissions(self._group, self._topic_names(), self._written())
        await self._broker.start()
        self._is_started = True

    async def stop(self) -> None:
        """Lets handlers finish for `DRAIN_S`, then leaves the group. What was not committed comes again."""
        await self._drain()
        await self._broker.stop()
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

    def readiness_problems(self) -> list[str]:
        """Why the service is not ready, for people; empty: it is."""
        if (since := self._publisher.unreachable_since) is not None:
            return [f"broker unreachable since {since.isoformat()}"]
        if denials := self._recent_denials():
            return sorted(set(denials.values()))
        breaker = self._policy.breaker
        if breaker.open_since is not None:
            return [f"paused by the circuit breaker since {breaker.open_since.isoformat()}: {breaker.why}"]
        return self._policy.partitions.problems()

    def apply_memory_pressure(self, found: Memory) -> None:
        """Above four fifths of the limit, records wait until those in hand are done."""
        MEMORY_USED_RATIO.set(found.used_bytes / found.limit_bytes)
        MEMORY_LIMIT_BYTES.set(found.limit_bytes)
        if found.is_tight != self._policy.memory_is_tight:
            self._policy.memory_is_tight = found.is_tight
            log.warning("memory_tight" if found.is_tight else "memory_eased", used_bytes=found.used_bytes)

    def reset_circuit_breaker(self) -> bool:
        """Lets records flow again; those that waited come within seconds. True if it was open."""
        return self._policy.reset_circuit_breaker()

    def assigned(self) -> set[TopicPartition]:
        """The partitions that this process reads; during a rebalance those that it had before."""
        return {
            partition
            for subscriber in self._subscribers
            for consumer in getattr(subscriber, "consumer_subgroup", None) or [subscriber.consumer]
            if consumer is not None
            for partition in consumer.assignment()
        }

    def stopped_consumers(self) -> list[str]:
        """Consumers whose loop ended: only a restart helps."""
        if not self._is_started:
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
        policy = self._policy
        subscriber = self._broker.subscriber(
            *names,
            group_id=self._group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            listener=DrainListener(
                policy.in_flight, policy.partitions.forget, 0.9 * WORST_HANDLER_S, assigned
            ),
            rebalance_timeout_ms=WORST_HANDLER_S * 1000,
            max_poll_interval_ms=2 * WORST_HANDLER_S * 1000,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            max_workers=workers,
        )
        subscriber(handle)
        self._subscribers.append(subscriber)

    def _written(self) -> list[str]:
        """What the topology lets the service write; nothing for a process that has no place in it."""
        if self._service not in PUBLISHES:
            return []
        own = topics.retry_topic(self._service), topics.dead_letter_topic(self._service)
        return [*PUBLISHES[self._service], *own]

    async def _drain(self) -> None:
        """While the consumers are members: FastStream stops those of several workers before their handlers.

        A handler that is cut off ends the rebalance that waits for it.
        """
        for subscriber in self._subscribers:
            subscriber.running = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._policy.in_flight.idle(), DRAIN_S)
        for task in [task for subscriber in self._subscribers for task in subscriber.tasks]:
            task.cancel()

    def _topic_names(self) -> list[str]:
        return sorted({name for subscriber in self._subscribers for name in subscriber.topic_names})

    def _set_denied(self, consumer: GroupConsumer, error: KafkaError | None) -> None:
        if error is None:
            self._denials.pop(consumer, None)
            return
        denial = self._kafka.denial(error)
        KAFKA_DENIALS.inc()
        if denial != self._recent_denials().get(consumer):
            log.error("kafka_denies", error=denial)
        self._denials[consumer] = denial, time.monotonic()

    def _recent_denials(self) -> dict[GroupConsumer, str]:
        since_s = time.monotonic() - DENIAL_S
        return {consumer: denial for consumer, (denial, seen_s) in self._denials.items() if seen_s > since_s}

    async def _handle(self, record: Record) -> None:
        is_retry = record.topic == topics.retry_topic(self._service)
        attempt = next_attempt(record) if is_retry else first_attempt(record)
        self._policy.check_may_go(attempt)
        record = attempt.record
        if record.topic in self._policy.commits_itself:
            await self._publisher.send_again(record)
            return
        handler = self._handlers.get(record.topic)
        if handler is None:
            raise PermanentError(Reason.SCHEMA, f"{self._service} does not read {record.topic!r:.100}")
        if attempt.is_replay:
            await self._redrive[record.topic](record)
        await self._publisher.publish_all(await handler(record))

    async def _mark_record_failed(self, record: Record, failure: Failure) -> None:
        mark_failed = self._mark_failed.get(record.topic, dead_letter_only)
        if record.topic in self._policy.commits_itself:
            # Before the transaction, which commits the offset. A dead letter that is written twice counts as one.
            await self._publisher.send_failure(record, failure)
            if events := (await mark_failed(record, failure.error)).events:
                await self._transactional.publish_with_offset(record, events)
            return
        outcome = await mark_failed(record, failure.error)
        # A cancelled run needs no dead letter: there is nothing to redrive.
        if outcome.dead and failure.error.reason is not Reason.CANCELLED:
            await self._publisher.send_failure(record, failure)
        await self._publisher.publish_all(outcome.events)
