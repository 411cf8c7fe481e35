"""The bus's own words for what it carries: records as they are in the log, and events to publish. Pure."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import OnPointError, PermanentError
from shared.events.decode import MAX_EVENT_BYTES, encode
from shared.events.models import Part

Headers = tuple[tuple[str, bytes | None], ...]
"""In the order of the record. Those of other programs are never read, and never changed: a value may be any bytes or
null, and a name may come twice or be empty."""


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as it is in the log; nothing is decoded."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

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


def split_headers(headers: Headers, prefix: str, first: str) -> tuple[Headers, Headers]:
    """Those that a record brought, and those that the bus put behind them.

    Ours begin with the last `first` and have the `prefix`. Whatever else has such a name is somebody else's, and stays
    with the record as it came. Without a `first` none is ours.
    """
    begin = max((place for place, (name, _) in enumerate(headers) if name == first), default=len(headers))
    behind = headers[begin:]
    theirs = (header for header in behind if not header[0].startswith(prefix))
    return (*headers[:begin], *theirs), tuple(header for header in behind if header[0].startswith(prefix))


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
