"""Records as they are in the log, events to publish, and what a handler is. Knows no driver."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.errors import PermanentError

if TYPE_CHECKING:
    from shared.events.models import Part

Headers = tuple[tuple[str, bytes | None], ...]
"""In the order of the record. A value may be any bytes or null. A name may come twice or be empty.
Headers of other programs are neither read nor changed."""


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
    """The record's own headers, and those that the bus appended.

    The appended ones begin with the last header named `first` and have the `prefix`. Any other header is the record's
    own, whatever its name.
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
    event: "Part"


Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
"""All are acked when it returns."""

Handler = Callable[[Record], Awaitable[Sequence[Outgoing]]]
"""Does what a record asks and returns what is to be published. The offset is committed after that was acked."""


@dataclass(frozen=True, slots=True)
class FailureOutcome:
    """What became of a record that cannot be handled."""

    dead: bool
    """False: its batch already has a result, and no dead letter is written."""
    events: tuple[Outgoing, ...] = ()
    """To publish: the result of its batch, whichever it is."""


MarkFailed = Callable[[Record, PermanentError], Awaitable[FailureOutcome]]
"""Commits a dead result for the record's batch where the stage commits its results (first writer wins)."""


Redrive = Callable[[Record], Awaitable[None]]
"""Clears the dead result of a record's batch before the record's dead letter is handled again."""


async def no_failure_to_clear(_record: Record) -> None:
    """For records that leave no dead result."""


async def dead_letter_only(_record: Record, _error: PermanentError) -> FailureOutcome:
    """For records that belong to no batch."""
    return FailureOutcome(dead=True)
