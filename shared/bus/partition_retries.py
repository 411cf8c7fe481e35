"""The partitions that wait before their record is tried again."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError

from shared.observability.logging import get_logger
from shared.observability.metrics import PARTITIONS_PAUSED

WHY_CHARS = 500

log = get_logger()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record in hand, the consumer that fetched it, and the epoch of its partition's assignment."""

    raw: ConsumerRecord
    consumer: AIOKafkaConsumer
    epoch: int

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.raw.topic, self.raw.partition)


@dataclass(slots=True)
class PartitionRetryState:
    """The failed tries of the record that a partition is at."""

    offset: int
    first_failed_at: datetime
    errors: int = 0
    outages: int = 0
    failed_marks: int = 0
    """How often its failure could not be committed."""


@dataclass(slots=True)
class PartitionRetries:
    """A partition that waits is paused, so that the others go on."""

    epochs: Counter[TopicPartition] = field(default_factory=Counter)
    paused_since: dict[TopicPartition, datetime] = field(default_factory=dict)
    _why: dict[TopicPartition, str] = field(default_factory=dict)
    _states: dict[TopicPartition, PartitionRetryState] = field(default_factory=dict)
    _resumes: set[asyncio.Task[None]] = field(default_factory=set)

    def is_current(self, fetched: Fetched) -> bool:
        """False once the partition was revoked after the record was fetched."""
        return self.epochs[fetched.partition] == fetched.epoch

    def state_of(self, fetched: Fetched) -> PartitionRetryState:
        partition, offset = fetched.partition, fetched.raw.offset
        state = self._states.get(partition)
        if state is None or state.offset != offset:
            state = self._states[partition] = PartitionRetryState(offset, datetime.now(UTC))
        return state

    def pause(self, partition: TopicPartition, why: BaseException) -> None:
        """Counts the partition as paused until a record of it is settled. Logs it once."""
        self._why[partition] = f"{type(why).__name__}: {why}"[:WHY_CHARS]
        if partition not in self.paused_since:
            self.paused_since[partition] = datetime.now(UTC)
            PARTITIONS_PAUSED.set(len(self.paused_since))
            log.warning("partition_paused", why=self._why[partition])

    def problems(self) -> list[str]:
        """Each partition that is paused, since when and why, for people."""
        return [
            f"partition {partition.topic}-{partition.partition} paused since {since.isoformat()}: {self._why[partition]}"
            for partition, since in self.paused_since.items()
        ]

    def settled(self, partition: TopicPartition) -> None:
        self._states.pop(partition, None)
        self._why.pop(partition, None)
        if (since := self.paused_since.pop(partition, None)) is not None:
            log.info("partition_resumed", paused_since=since.isoformat())
            PARTITIONS_PAUSED.set(len(self.paused_since))

    def retry_after(self, fetched: Fetched, delay_s: float) -> None:
        """Seeks back to the record. Fetches nothing of its partition before the delay is over."""
        if not self.is_current(fetched):
            return
        # After a revocation the new owner starts at the committed offset.
        with contextlib.suppress(IllegalStateError):
            fetched.consumer.pause(fetched.partition)
            fetched.consumer.seek(fetched.partition, fetched.raw.offset)
            task = asyncio.create_task(self._resume_after(fetched, delay_s))
            self._resumes.add(task)
            task.add_done_callback(self._resumes.discard)

    async def _resume_after(self, fetched: Fetched, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self.is_current(fetched):
            with contextlib.suppress(IllegalStateError):
                fetched.consumer.resume(fetched.partition)

    def forget(self, partitions: set[TopicPartition]) -> None:
        """For revoked partitions: records fetched before are no longer settled."""
        for partition in partitions:
            self.epochs[partition] += 1
            self._states.pop(partition, None)
            self.paused_since.pop(partition, None)
            self._why.pop(partition, None)
        PARTITIONS_PAUSED.set(len(self.paused_since))
