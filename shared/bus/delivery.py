"""At-least-once delivery, for every subscription (docs/adr/0004).

A record is settled in one of four ways:

- done: its output is acked by the broker, then exactly its offset is committed;
- outage (`TransientError`): its partition pauses, seeks back and tries again, without end;
- permanent (`PermanentError`): its failure is committed, then its dead letter (none for `cancelled`), then its offset;
- any other error: it goes to `<service>.retry` and its partition goes on. After `MAX_TRIES` tries the error is permanent,
  unless the circuit breaker opens: then the record stays, and the service stops.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import ConsumerRecord
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)

from shared import crashpoints
from shared.bus.circuit_breaker import PROBE_INTERVAL_S, CircuitBreaker
from shared.bus.dead_letters import Failure
from shared.bus.kafka import to_record
from shared.bus.messages import Record
from shared.bus.partition_retries import Fetched, PartitionRetries, PartitionRetryState
from shared.bus.rebalance import InFlight
from shared.bus.retry_headers import RETRY_DELAY_S, Attempt, first_attempt, next_attempt
from shared.errors import OnPointError, PermanentError, TransientError
from shared.events.topics import retry_topic
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.observability.metrics import BRAKE_OPEN, BRAKE_OPENED, RECORD_RETRIES, RECORDS_HANDLED
from shared.reasons import Reason
from shared.runtime.background import backoff_s

MAX_TRIES = 5
"""Of a record whose error is neither permanent nor an outage."""

MAX_FAILED_MARKS = 30
"""One minute. An outage that no driver error names may be over by then."""

MEMORY_PAUSE_S = 1.0

LONGEST_DELAY_S = 60.0
"""The retry delay and the difference of two clocks. A retry that claims to be due later is due now."""

POISONED_PRODUCER = (OutOfOrderSequenceNumber, ProducerFenced)
"""A producer never recovers from these: leave the record uncommitted and end the process."""

log = get_logger()


class DeferRecord(OnPointError):  # noqa: N818 - it is a request, not a failure
    """The record comes again after some seconds: a retry that is not due, tight memory, or an open circuit breaker."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"not before {delay_s:.1f} s have passed")
        self.delay_s = delay_s


RecordFailure = Callable[[Record, Failure], Awaitable[None]]
Retry = Callable[[Attempt, datetime], Awaitable[None]]


@dataclass(slots=True)
class AtLeastOnce:
    """The delivery policy and its state. One per process; the middleware settles each record by it."""

    service: str
    mark_failed: RecordFailure
    """Commits the record's failure, publishes its dead letter and its result. Idempotent."""
    dead_letter_only: RecordFailure
    """Publishes the record's dead letter and does nothing else."""
    retry: Retry
    """Publishes the record for a later try. Acked when it returns."""
    fatal: Callable[[BaseException], None]
    """Ends the process soon. Only a restart helps."""
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    commits_itself: frozenset[str] = frozenset()
    """Topics whose handler commits the offset in its own transaction."""
    partitions: PartitionRetries = field(default_factory=PartitionRetries)
    in_flight: InFlight = field(default_factory=InFlight)
    memory_is_tight: bool = False
    """Records wait while another is in hand; with none in hand one goes, so that there is progress."""

    async def settle(self, fetched: Fetched, error: BaseException | None) -> None:
        """Commits the record's offset, marks it failed, sends it to retry, or seeks back to it; see the module.

        Raises nothing: any error in here makes the record come again.
        """
        if error is not None and not isinstance(error, Exception):
            return  # cancelled or exiting: not committed, so it comes again
        try:
            if error is None:
                await self._done(fetched)
            else:
                await self._failed(fetched, error)
        except (CommitFailedError, IllegalStateError) as refusal:
            log.warning("commit_refused", error=str(refusal))
        except Exception as unsettled:  # noqa: BLE001 - whatever it is, the record must come again
            if isinstance(unsettled, POISONED_PRODUCER):
                self.fatal(unsettled)
            self._try_again(fetched, unsettled)

    async def _done(self, fetched: Fetched) -> None:
        if not self.partitions.is_current(fetched):
            log.warning("partition_reassigned_while_handling")
            return
        crashpoints.reach(f"{self.service}.commit")
        raw = fetched.raw
        if raw.topic not in self.commits_itself:
            with tracing.span("commit offset"):
                await fetched.consumer.commit({fetched.partition: raw.offset + 1})
        if self.breaker.record_success():
            log.info("circuit_breaker_closed")
            BRAKE_OPEN.set(0)
        self._settled(fetched, "done")

    async def _failed(self, fetched: Fetched, error: Exception) -> None:
        if isinstance(error, POISONED_PRODUCER):
            self.fatal(error)
        elif isinstance(error, DeferRecord):
            self.partitions.retry_after(fetched, error.delay_s)
        elif isinstance(error, TransientError | KafkaError):
            self._try_again(fetched, error)
        elif isinstance(error, PermanentError):
            await self._fail(fetched, error)
        elif self.attempt_of(fetched.raw).failed_tries + self._state(fetched).errors + 1 < MAX_TRIES:
            await self._retry_later(fetched, error)
        elif not self._state(fetched).failed_marks and not self.breaker.allow_failure(datetime.now(UTC)):
            log.error("circuit_breaker_open", why=self.breaker.why, exc_info=error)
            BRAKE_OPEN.set(1)
            BRAKE_OPENED.inc()
            self.partitions.retry_after(fetched, PROBE_INTERVAL_S)
        else:
            await self._fail(fetched, out_of_tries(error))

    async def _retry_later(self, fetched: Fetched, error: Exception) -> None:
        attempt, state = self.attempt_of(fetched.raw), self._state(fetched)
        log.warning("record_failed", tries=attempt.failed_tries + state.errors + 1, exc_info=error)
        if fetched.raw.topic in self.commits_itself:
            self._try_again(fetched, error)
        elif await self._sent_to_retry(attempt, attempt.first_failed_at or state.first_failed_at):
            await self._leave(fetched, "retried")
        else:
            await self._fail(fetched, out_of_tries(error))

    async def _sent_to_retry(self, attempt: Attempt, first_failed_at: datetime) -> bool:
        """False for a record that is too large together with its retry headers."""
        try:
            await self.retry(attempt, first_failed_at)
        except MessageSizeTooLargeError:
            return False
        RECORD_RETRIES.labels(attempt.record.topic, "error").inc()
        return True

    async def _fail(self, fetched: Fetched, error: PermanentError) -> None:
        attempt, state = self.attempt_of(fetched.raw), self._state(fetched)
        tries = attempt.failed_tries + state.errors + 1
        first_failed_at = attempt.first_failed_at or state.first_failed_at
        failure = Failure(error, tries, first_failed_at, datetime.now(UTC))
        log.error("record_dead", reason=error.reason, detail=str(error), tries=tries)
        await self._mark_failed(attempt.record, failure, state)
        await self._leave(fetched, "dead")

    async def _mark_failed(self, record: Record, failure: Failure, state: PartitionRetryState) -> None:
        """After `MAX_FAILED_MARKS` failed calls of `mark_failed` it writes the dead letter only; the partition goes on."""
        try:
            await self.mark_failed(record, failure)
        except (TransientError, KafkaError, DeferRecord):
            raise
        except Exception:
            state.failed_marks += 1
            if state.failed_marks < MAX_FAILED_MARKS:
                raise
            log.exception("failure_not_committed")
            await self.dead_letter_only(record, failure)

    def attempt_of(self, raw: ConsumerRecord) -> Attempt:
        """What the record stands for. An undecodable one on the retry topic stands for itself."""
        record = to_record(raw)
        if record.topic != retry_topic(self.service):
            return first_attempt(record)
        try:
            return next_attempt(record)
        except PermanentError:
            return first_attempt(record)

    def check_may_go(self, attempt: Attempt) -> None:
        """Raises `DeferRecord` for a retry that is not due, in tight memory, and while the circuit breaker is open."""
        if self.memory_is_tight and self.in_flight.total() > 1:
            raise DeferRecord(MEMORY_PAUSE_S)
        if (
            attempt.due_at is not None
            and 0 < (delay_s := (attempt.due_at - datetime.now(UTC)).total_seconds()) <= LONGEST_DELAY_S
        ):
            raise DeferRecord(min(delay_s, RETRY_DELAY_S))
        if (delay_s_ := self.breaker.retry_after(time.monotonic())) is not None:
            raise DeferRecord(delay_s_)

    def reset_circuit_breaker(self) -> bool:
        """True if it was open."""
        was_open = self.breaker.reset()
        if was_open:
            log.info("circuit_breaker_reset")
        BRAKE_OPEN.set(0)
        return was_open

    async def _leave(self, fetched: Fetched, outcome: str) -> None:
        if self.partitions.is_current(fetched):
            crashpoints.reach(f"{self.service}.leave")
            await fetched.consumer.commit({fetched.partition: fetched.raw.offset + 1})
            self._settled(fetched, outcome)

    def _settled(self, fetched: Fetched, outcome: str) -> None:
        RECORDS_HANDLED.labels(fetched.raw.topic, outcome).inc()
        self.partitions.settled(fetched.partition)

    def _state(self, fetched: Fetched) -> PartitionRetryState:
        return self.partitions.state_of(fetched)

    def _try_again(self, fetched: Fetched, error: Exception) -> None:
        state = self._state(fetched)
        is_outage = isinstance(error, TransientError | KafkaError)
        if is_outage:
            delay_s = backoff_s(state.outages)
            state.outages += 1
            self.partitions.pause(fetched.partition, error)
        else:
            delay_s = RETRY_DELAY_S
            state.errors += 1
        RECORD_RETRIES.labels(fetched.raw.topic, "outage" if is_outage else "error").inc()
        self.partitions.retry_after(fetched, delay_s)


def out_of_tries(error: Exception) -> PermanentError:
    permanent = PermanentError(Reason.HANDLER, f"{type(error).__name__}: {error}"[:1000])
    permanent.__cause__ = error
    return permanent
