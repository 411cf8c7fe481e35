"""At least once, for every subscriber (docs/adr/0004).

A record is settled in one of four ways:

- done: its output is acked by the broker, then exactly its offset is committed;
- outage of ours (`TransientError`): its partition pauses, seeks back and tries again, without end;
- permanent (`PermanentError`): its death is committed, then its dead letter (none for `cancelled`), then its offset;
- anything else: it goes to `<service>.retry` and its partition goes on; after `MAX_TRIES` tries it is as permanent,
  unless the brake finds that everything fails: then it stays, and the service stands still and says so.

A partition that waits is paused, not slept on: the others go on.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)

from shared import crashpoints
from shared.bus.attempt import RETRY_DELAY_S, Attempt, first_attempt, next_attempt
from shared.bus.brake import PROBE_INTERVAL_S, Brake
from shared.bus.dead_letters import Failure
from shared.bus.in_flight import InFlight
from shared.bus.kafka import to_record
from shared.bus.messages import Record
from shared.errors import OnPointError, PermanentError, TransientError
from shared.events.topics import retry_topic
from shared.observability.logging import get_logger
from shared.observability.metrics import (
    BRAKE_OPEN,
    PARTITIONS_PAUSED,
    RECORD_RETRIES,
    RECORDS_HANDLED,
)
from shared.reasons import Reason

MAX_TRIES = 5
"""Of a record whose error is neither permanent nor an outage of ours."""

MAX_BURIALS = 30
"""A minute: an outage that nobody recognises as one may be over by then, and the death is told after all."""

OUTAGE_DELAYS_S = (0.25, 0.5, 1.0, 2.0)
"""While something of ours is down: short enough that work goes on at once when it is back."""

MEMORY_PAUSE_S = 1.0

LONGEST_DELAY_S = 60.0
"""No retry is due later than the delay and what two clocks may differ: a later one is a mistake, and due now."""

POISONED_PRODUCER = (OutOfOrderSequenceNumber, ProducerFenced)
"""A producer never recovers from these: leave the record uncommitted and end the process."""

log = get_logger()


class NotNowError(OnPointError):
    """The record is not to be handled before some seconds have passed: a retry that is not due, or the brake."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"not before {delay_s:.1f} s have passed")
        self.delay_s = delay_s


@dataclass(slots=True)
class Trouble:
    """The outages and in-place tries of the record that a partition is at."""

    offset: int
    first_failed_at: datetime
    errors: int = 0
    outages: int = 0
    burials: int = 0
    """Those that failed."""


Bury = Callable[[Record, Failure], Awaitable[None]]
Retry = Callable[[Attempt, datetime], Awaitable[None]]


@dataclass(slots=True)
class AtLeastOnce:
    """The policy and its state. One per process; the middleware settles each record by it."""

    service: str
    bury: Bury
    """Commits the record's death, publishes its dead letter and announces it. Idempotent."""
    set_aside: Bury
    """Publishes the record's dead letter and does nothing else."""
    retry: Retry
    """Publishes the record for a later try. Acked when it returns."""
    fatal: Callable[[BaseException], None]
    """Ends the process soon: a restart is the only cure."""
    brake: Brake = field(default_factory=Brake)
    commits_itself: frozenset[str] = frozenset()
    """Topics whose handler commits the offset in its own transaction."""
    troubles: dict[TopicPartition, Trouble] = field(default_factory=dict)
    epochs: Counter[TopicPartition] = field(default_factory=Counter)
    in_flight: InFlight = field(default_factory=InFlight)
    paused_since: dict[TopicPartition, datetime] = field(default_factory=dict)
    memory_is_tight: bool = False
    """Nothing new is begun beside what is in hand; with nothing in hand one record goes, so that there is progress."""
    _resumes: set[asyncio.Task[None]] = field(default_factory=set)

    async def settle(
        self, raw: ConsumerRecord, consumer: AIOKafkaConsumer, epoch: int, error: BaseException | None
    ) -> None:
        """Commits the record's offset, buries it, hands it to retry, or seeks back to it; see the module.

        Raises nothing: whatever goes wrong here makes the record come again.
        """
        partition = TopicPartition(raw.topic, raw.partition)
        if error is not None and not isinstance(error, Exception):
            return  # cancelled or exiting: not committed, so it comes again
        try:
            if error is None:
                await self._done(raw, consumer, partition, epoch)
            else:
                await self._failed(raw, consumer, partition, epoch, error)
        except (CommitFailedError, IllegalStateError) as refusal:
            log.warning("commit_refused", error=str(refusal))
        except Exception as outage:  # noqa: BLE001 - whatever it is, the record must come again
            # Burying or committing did not work: the record stays where it is.
            if isinstance(outage, POISONED_PRODUCER):
                self.fatal(outage)
            kind = TransientError if isinstance(outage, TransientError | KafkaError) else type(outage)
            self._come_again(raw, consumer, partition, epoch, outage, is_outage=kind is TransientError)

    async def _done(
        self, raw: ConsumerRecord, consumer: AIOKafkaConsumer, partition: TopicPartition, epoch: int
    ) -> None:
        if self.epochs[partition] != epoch:
            log.warning("partition_reassigned_while_handling")
            return
        crashpoints.reach(f"{self.service}.commit")
        if raw.topic not in self.commits_itself:
            await consumer.commit({partition: raw.offset + 1})
        if self.brake.worked():
            log.info("brake_closed")
            BRAKE_OPEN.set(0)
        self._over(partition, raw.topic, "done")

    async def _failed(
        self,
        raw: ConsumerRecord,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        epoch: int,
        error: Exception,
    ) -> None:
        if isinstance(error, POISONED_PRODUCER):
            self.fatal(error)
            return
        if isinstance(error, NotNowError):
            self._wait(raw, consumer, partition, epoch, error.delay_s)
            return
        if isinstance(error, TransientError | KafkaError):
            self._come_again(raw, consumer, partition, epoch, error, is_outage=True)
            return
        trouble = self._trouble(partition, raw.offset)
        attempt = self.attempt_of(raw)
        tries = attempt.failed_tries + trouble.errors + 1
        first_failed_at = attempt.first_failed_at or trouble.first_failed_at
        if isinstance(error, PermanentError):
            failure = Failure(error, tries, first_failed_at, datetime.now(UTC))
        elif tries < MAX_TRIES:
            log.warning("record_failed", tries=tries, exc_info=error)
            if raw.topic in self.commits_itself:
                self._come_again(raw, consumer, partition, epoch, error, is_outage=False)
                return
            if await self._sent_to_retry(attempt, first_failed_at):
                await self._leave(raw, consumer, partition, epoch, "retried")
                return
            failure = Failure(out_of_tries(error), tries, first_failed_at, datetime.now(UTC))
        elif not trouble.burials and not self.brake.admit_death(datetime.now(UTC)):
            log.error("brake_open", why=self.brake.why, exc_info=error)
            BRAKE_OPEN.set(1)
            self._wait(raw, consumer, partition, epoch, PROBE_INTERVAL_S)
            return
        else:
            failure = Failure(out_of_tries(error), tries, first_failed_at, datetime.now(UTC))
        reason, detail = failure.error.reason, str(failure.error)
        log.error("record_dead", reason=reason, detail=detail, tries=tries)
        await self._bury(attempt.record, failure, trouble)
        await self._leave(raw, consumer, partition, epoch, "dead")

    async def _sent_to_retry(self, attempt: Attempt, first_failed_at: datetime) -> bool:
        """False for a record that its topic just held, and that is too large with what the next attempt has to know."""
        try:
            await self.retry(attempt, first_failed_at)
        except MessageSizeTooLargeError:
            return False
        RECORD_RETRIES.labels(attempt.record.topic, "error").inc()
        return True

    async def _bury(self, record: Record, failure: Failure, trouble: Trouble) -> None:
        """A record whose burial itself fails again and again must not hold its partition: its letter is kept alone."""
        try:
            await self.bury(record, failure)
        except (TransientError, KafkaError, NotNowError):
            raise
        except Exception:
            trouble.burials += 1
            if trouble.burials < MAX_BURIALS:
                raise
            log.exception("burial_failed")
            await self.set_aside(record, failure)

    def attempt_of(self, raw: ConsumerRecord) -> Attempt:
        """What the record stands for; one on the retry topic that cannot be read stands for itself."""
        record = to_record(raw)
        if record.topic != retry_topic(self.service):
            return first_attempt(record)
        try:
            return next_attempt(record)
        except PermanentError:
            return first_attempt(record)

    def check_may_go(self, attempt: Attempt) -> None:
        """Raises `NotNowError` for a retry that is not due, while memory is tight and while the brake is on."""
        if self.memory_is_tight and self.in_flight.total() > 1:
            raise NotNowError(MEMORY_PAUSE_S)
        if (
            attempt.due_at is not None
            and 0 < (delay_s := (attempt.due_at - datetime.now(UTC)).total_seconds()) <= LONGEST_DELAY_S
        ):
            raise NotNowError(min(delay_s, RETRY_DELAY_S))
        if (delay_s_ := self.brake.holds(time.monotonic())) is not None:
            raise NotNowError(delay_s_)

    def release_brake(self) -> bool:
        """Somebody says that the cause is mended. True if the brake was on."""
        was_on = self.brake.release()
        if was_on:
            log.info("brake_released")
        BRAKE_OPEN.set(0)
        return was_on

    async def _leave(
        self,
        raw: ConsumerRecord,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        epoch: int,
        outcome: str,
    ) -> None:
        if self.epochs[partition] == epoch:
            crashpoints.reach(f"{self.service}.leave")
            await consumer.commit({partition: raw.offset + 1})
            self._over(partition, raw.topic, outcome)

    def _over(self, partition: TopicPartition, topic: str, outcome: str) -> None:
        RECORDS_HANDLED.labels(topic, outcome).inc()
        self.troubles.pop(partition, None)
        if (since := self.paused_since.pop(partition, None)) is not None:
            log.info("partition_goes_on", paused_since=since.isoformat())
            PARTITIONS_PAUSED.set(len(self.paused_since))

    def _trouble(self, partition: TopicPartition, offset: int) -> Trouble:
        trouble = self.troubles.get(partition)
        if trouble is None or trouble.offset != offset:
            trouble = self.troubles[partition] = Trouble(offset, datetime.now(UTC))
        return trouble

    def _come_again(
        self,
        raw: ConsumerRecord,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        epoch: int,
        error: BaseException,
        *,
        is_outage: bool,
    ) -> None:
        trouble = self._trouble(partition, raw.offset)
        if is_outage:
            delay_s = OUTAGE_DELAYS_S[min(trouble.outages, len(OUTAGE_DELAYS_S) - 1)]
            trouble.outages += 1
            if partition not in self.paused_since:
                self.paused_since[partition] = datetime.now(UTC)
                log.warning("partition_paused", why=f"{type(error).__name__}: {error}"[:500])
        else:
            trouble.errors += 1
            delay_s = RETRY_DELAY_S
        RECORD_RETRIES.labels(raw.topic, "outage" if is_outage else "error").inc()
        PARTITIONS_PAUSED.set(len(self.paused_since))
        self._wait(raw, consumer, partition, epoch, delay_s)

    def _wait(
        self,
        raw: ConsumerRecord,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        epoch: int,
        delay_s: float,
    ) -> None:
        """Back to the record, and nothing of its partition before the delay is over."""
        if self.epochs[partition] != epoch:
            return
        # Where it is no longer ours, its new owner starts at the committed offset.
        with contextlib.suppress(IllegalStateError):
            consumer.pause(partition)
            consumer.seek(partition, raw.offset)
            task = asyncio.create_task(self._resume_later(consumer, partition, epoch, delay_s))
            self._resumes.add(task)
            task.add_done_callback(self._resumes.discard)

    async def _resume_later(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, epoch: int, delay_s: float
    ) -> None:
        await asyncio.sleep(delay_s)
        if self.epochs[partition] == epoch:
            with contextlib.suppress(IllegalStateError):
                consumer.resume(partition)

    def forget(self, partitions: set[TopicPartition]) -> None:
        for partition in partitions:
            self.epochs[partition] += 1
            self.troubles.pop(partition, None)
            self.paused_since.pop(partition, None)
        PARTITIONS_PAUSED.set(len(self.paused_since))


def out_of_tries(error: Exception) -> PermanentError:
    permanent = PermanentError(Reason.HANDLER, f"{type(error).__name__}: {error}"[:1000])
    permanent.__cause__ = error
    return permanent
