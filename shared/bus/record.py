from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from shared.errors import OnPointError, PermanentError
from shared.events.decode import MAX_EVENT_BYTES, encode
from shared.events.models import Part
from shared.events.reasons import Reason


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as it is in the log; nothing is decoded."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def appended_at(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def key_text(self) -> str | None:
        """The key as text, None where there is none or it is not UTF-8."""
        try:
            return self.key.decode() if self.key is not None else None
        except UnicodeDecodeError:
            return None


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


def check_headers(record: Record) -> None:
    """Raises `PermanentError` for a header that is null or not UTF-8: its sender is broken, so nothing else is believed."""
    for name, value in record.headers:
        if value is None:
            raise PermanentError(Reason.DECODE, f"header {name[:100]!r} is null")
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise PermanentError(Reason.DECODE, f"header {name[:100]!r} is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to publish."""

    topic: str
    key: str
    event: Part


class EventTooLargeError(OnPointError):
    """An event of ours is above the broker's limit; sending it would poison the producer."""


def value_of(outgoing: Outgoing) -> bytes:
    """The value of its record. Raises `EventTooLargeError`."""
    value = encode(outgoing.event)
    if len(value) > MAX_EVENT_BYTES:
        raise EventTooLargeError(
            f"an event for {outgoing.topic} has {len(value)} bytes, at most {MAX_EVENT_BYTES}"
        )
    return value


Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""All are acked when it returns."""

Handler = Callable[[Record], Awaitable[Sequence[Outgoing]]]
"""Does what a record asks and returns what is to be published. The offset is committed after that was acked."""


@dataclass(frozen=True, slots=True)
class Burial:
    """What became of a record that cannot be handled.

    `dead` False: someone finished its batch before, so there is no dead letter, and `announce` is the result.
    """

    dead: bool
    announce: tuple[Outgoing, ...] = ()


Bury = Callable[[Record, PermanentError], Awaitable[Burial]]
"""Commits the death of the record's batch where the stage commits its results (first writer wins)."""


Revive = Callable[[Record], Awaitable[None]]
"""Takes back the death of a record's batch, if it is dead: somebody replays its dead letter."""


async def revive_nothing(_record: Record) -> None:
    """For records whose death was committed nowhere."""


async def bury_alone(_record: Record, _error: PermanentError) -> Burial:
    """For records that belong to no batch: the dead letter is all."""
    return Burial(dead=True)
