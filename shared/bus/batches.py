"""A subscription whose handler gets many records at once: for topics whose records are single rows (docs/adr/0021).

The handler decides where a partition begins and which of its records are durable; the offset is committed after that, and
is for those who measure the lag. So effects are exactly once wherever the handler commits position and effect together.

- Records of a partition come in the order of their offsets, each batch once, until something fails.
- A record that cannot be read (`BadRecordsError`): its dead letter is published, then the batch comes again without it.
- An outage (`TransientError`): the partition begins again after a pause, without end; the others go on.
- A partition that must not go on (`StopPartitionError`): it stops, and the service is not ready until a restart.
- Any other error: the partition begins again; after `MAX_TRIES` in a row the process ends.
"""

import asyncio
import re
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared.bus.kafka import KafkaClients
from shared.bus.messages import Record
from shared.bus.plain_records import PlainConsumer
from shared.errors import OnPointError, PermanentError, TransientError
from shared.observability.logging import get_logger
from shared.runtime.background import backoff_s

MAX_TRIES = 5
POLL_MS = 500
MAX_RECORDS = 20_000
FETCH_BYTES = 16 * 2**20
"""Of one answer of a broker: the client holds one of them besides the records in hand."""

log = get_logger()


class BadRecordsError(OnPointError):
    """Records of a batch that cannot be handled, by their offsets. Nothing of the batch was taken."""

    def __init__(self, bad: dict[int, PermanentError]) -> None:
        super().__init__(f"{len(bad)} records cannot be read")
        self.bad = bad


class StopPartitionError(OnPointError):
    """The partition must not go on by itself; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, in the order of their offsets. There is at least one."""

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    values: Sequence[bytes | None]

    @property
    def next_offset(self) -> int:
        return self.offsets[-1] + 1

    def before(self, offset: int) -> "RecordBatch | None":
        """The records below the offset."""
        return self._cut(0, bisect_left(self.offsets, offset))

    def since(self, offset: int) -> "RecordBatch | None":
        """The records from the offset on."""
        return self._cut(bisect_left(self.offsets, offset), len(self.offsets))

    def _cut(self, first: int, last: int) -> "RecordBatch | None":
        if first >= last:
            return None
        return RecordBatch(
            self.topic,
            self.partition,
            self.offsets[first:last],
            self.timestamps_ms[first:last],
            self.values[first:last],
        )


class BatchHandler(Protocol):
    """Calls for one partition never overlap."""

    async def begin(self, topic: str, partition: int, earliest: int, end: int) -> int:
        """The offset to read from. What was taken since the last durable offset is forgotten."""
        ...

    async def handle(self, batch: RecordBatch) -> int | None:
        """Takes the records: all, or none where it raises. Returns the offset below which everything is durable."""
        ...

    async def tick(self, topic: str, partition: int, position: int) -> int | None:
        """Called between batches, also where no record comes. Returns as `handle`."""
        ...

    def forget(self, topic: str, partition: int) -> None:
        """The partition is another member's now."""
        ...


SendDeadLetter = Callable[[Record, PermanentError], Awaitable[None]]


@dataclass(slots=True)
class _Partition:
    has_begun: bool = False
    committed: int = -1
    failures: int = 0
    not_before_s: float = 0.0
    bad: set[int] = field(default_factory=set)
    taken: int = 0
    """The offset behind the last record that the handler took."""
    waiting_since_ms: int | None = None
    """When the oldest record was written that is not durable. It stays through an outage."""
    stopped: str | None = None
    problem: str | None = None


class BatchSubscription(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One consumer of a group, on all topics of a pattern, also those that are made later."""

    def __init__(
        self,
        kafka: KafkaClients,
        *,
        group: str,
        pattern: str,
        handler: BatchHandler,
        send_dead_letter: SendDeadLetter,
        session_timeout_ms: int = 10_000,
    ) -> None:
        self._kafka = kafka
        self._pattern = pattern
        self._handler = handler
        self._send_dead_letter = send_dead_letter
        self._options = {
            "group_id": group,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "max_poll_records": MAX_RECORDS,
            "fetch_max_bytes": FETCH_BYTES,
            "max_partition_fetch_bytes": FETCH_BYTES,
            "session_timeout_ms": session_timeout_ms,
            "heartbeat_interval_ms": 1_000,
            "rebalance_timeout_ms": 120_000,
            "max_poll_interval_ms": 240_000,
        }
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._turn = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None

    async def run(self) -> None:
        """Never returns. Waits through outages of Kafka."""
        while True:
            consumer = self._kafka.consumer_of(PlainConsumer, denied=lambda *_: None, **self._options)
            try:
                consumer.subscribe(pattern=self._pattern, listener=self)
                await self._kafka.start(consumer)
                self._consumer = consumer
                await self._consume(consumer)
            except KafkaError as error:
                log.warning("batches_paused", why=repr(error))
                await asyncio.sleep(backoff_s(2))
            finally:
                self._consumer = None
                for tp in self._partitions:
                    self._handler.forget(tp.topic, tp.partition)
                self._partitions.clear()
                await consumer.stop()

    def problems(self) -> list[str]:
        """For people, one line for each partition that does not go on."""
        return [
            f"{tp.topic}: {problem}"
            for tp, each in sorted(self._partitions.items())
            if (problem := each.stopped or each.problem) is not None
        ]

    def stopped(self) -> float:
        """Partitions that do not go on by themselves."""
        return float(sum(each.stopped is not None for each in self._partitions.values()))

    def lag_s(self) -> float:
        """Age of the oldest record that was read and is not durable; 0: there is none. Half a second of poll on top."""
        waiting = [each.waiting_since_ms for each in self._partitions.values()]
        oldest_ms = min((each for each in waiting if each is not None), default=None)
        return 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)

    def assigned(self) -> set[TopicPartition]:
        """The partitions of this process."""
        return set(self._partitions)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        async with self._turn:
            for tp in revoked:
                self._partitions.pop(tp, None)
                self._handler.forget(tp.topic, tp.partition)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        async with self._turn:
            for tp in assigned:
                self._partitions[tp] = _Partition()
                if self._consumer is not None:
                    self._consumer.pause(tp)

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._begin_those_due(consumer)
            try:
                fetched = await consumer.getmany(timeout_ms=POLL_MS)
            except NoOffsetForPartitionError:
                continue  # assigned a moment ago: it begins in this turn
            except OffsetOutOfRangeError as error:
                await self._gap(consumer, error.args[0])
                continue
            async with self._turn:
                for tp, records in fetched.items():
                    await self._guarded(consumer, tp, partial(self._take, tp, records))
                for tp in list(self._partitions):
                    await self._guarded(consumer, tp, partial(self._tick, consumer, tp))

    async def _begin_those_due(self, consumer: AIOKafkaConsumer) -> None:
        now = asyncio.get_running_loop().time()
        async with self._turn:
            for tp, state in list(self._partitions.items()):
                if not state.has_begun and state.stopped is None and state.not_before_s <= now:
                    await self._guarded(consumer, tp, partial(self._begin, consumer, tp))

    async def _begin(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        earliest = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, await self._handler.begin(tp.topic, tp.partition, earliest, end))
        consumer.resume(tp)
        self._partitions[tp].has_begun = True

    async def _take(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        state = self._partitions[tp]
        while usable := [r for r in records if r.offset not in state.bad] if state.bad else records:
            batch = RecordBatch(
                tp.topic,
                tp.partition,
                [record.offset for record in usable],
                [record.timestamp for record in usable],
                [record.value for record in usable],
            )
            if state.waiting_since_ms is None:
                state.waiting_since_ms = batch.timestamps_ms[0]
            try:
                durable = await self._handler.handle(batch)
                state.taken = batch.next_offset
                await self._settle(tp, durable)
            except BadRecordsError as error:
                for record in usable:
                    if record.offset in error.bad:
                        await self._refuse(tp, record, error.bad[record.offset])
                        state.bad.add(record.offset)
            else:
                return

    async def _refuse(self, tp: TopicPartition, plain: Any, error: PermanentError) -> None:
        log.error("record_dead", topic=tp.topic, offset=plain.offset, detail=str(error))
        headers = tuple(plain.headers or ())
        record = Record(
            tp.topic, tp.partition, plain.offset, plain.timestamp, plain.key, plain.value, headers=headers
        )
        await self._send_dead_letter(record, error)

    async def _tick(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        if self._partitions[tp].has_begun:
            position = await consumer.position(tp)
            await self._settle(tp, await self._handler.tick(tp.topic, tp.partition, position))

    async def _settle(self, tp: TopicPartition, durable: int | None) -> None:
        """Commits the offset, last of all."""
        state = self._partitions[tp]
        state.failures, state.problem = 0, None
        if durable is not None and durable >= state.taken:
            state.waiting_since_ms = None
        if durable is None or durable <= state.committed or self._consumer is None:
            return
        await self._consumer.commit({tp: durable})
        state.committed = durable
        state.bad = {offset for offset in state.bad if offset >= durable}

    async def _guarded(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, work: Callable[[], Awaitable[None]]
    ) -> None:
        state = self._partitions.get(tp)
        if state is None or state.stopped is not None:
            return
        try:
            await work()
        except StopPartitionError as error:
            state.stopped = str(error)
            log.error("partition_stopped", topic=tp.topic, why=str(error))  # noqa: TRY400 - its words are enough
        except IllegalStateError:
            return  # revoked meanwhile
        except (TransientError, KafkaError) as error:
            log.warning("partition_paused", topic=tp.topic, why=f"{type(error).__name__}: {error}"[:500])
            state.problem = str(error) or type(error).__name__
        except Exception as error:
            log.warning("batch_failed", topic=tp.topic, tries=state.failures + 1, exc_info=error)
            state.problem = f"{type(error).__name__}: {error}"[:500]
            if state.failures + 1 >= MAX_TRIES:
                raise
        else:
            return
        self._again(consumer, tp, state)

    def _again(self, consumer: AIOKafkaConsumer, tp: TopicPartition, state: _Partition) -> None:
        state.has_begun = False
        state.not_before_s = asyncio.get_running_loop().time() + backoff_s(state.failures)
        state.failures += 1
        self._handler.forget(tp.topic, tp.partition)
        if tp in consumer.assignment():
            consumer.pause(tp)

    async def _gap(self, consumer: AIOKafkaConsumer, partitions: dict[TopicPartition, int]) -> None:
        """The handler sees it at the partition's next begin, as the position is below the earliest offset."""
        async with self._turn:
            for tp in partitions:
                if (state := self._partitions.get(tp)) is not None:
                    self._again(consumer, tp, state)


def topics_of(prefix: str) -> str:
    """The pattern of all topics `<prefix>.<schema>.<table>`."""
    return rf"^{re.escape(prefix)}\.[^.]+\..+$"
