"""How often a record was tried, stored in its headers on `<service>.retry`.

They count only on that topic. On any other topic they are headers like all others, and stay with their record.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.bus.messages import Record, split_headers
from shared.errors import PermanentError
from shared.reasons import Reason

PREFIX = "retry."
FIRST = PREFIX + "topic"
"""The first appended header: those before it are the record's own, whatever their names."""
RETRY_DELAY_S = 2.0
"""Fixed, so that a retry topic is in due order and its head is always the next one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A record on its way through its handler."""

    record: Record
    """As it was on its own topic, wherever it is read from now."""
    failed_tries: int
    first_failed_at: datetime | None
    due_at: datetime | None
    """Not to be tried before; None: now."""
    is_replay: bool = False
    """A dead letter is redriven: the dead result of its batch is cleared first."""


def first_attempt(record: Record) -> Attempt:
    return Attempt(record, failed_tries=0, first_failed_at=None, due_at=None)


def retry_headers(
    attempt: Attempt, *, first_failed_at: datetime, due_at: datetime
) -> list[tuple[str, bytes | None]]:
    """The record's own headers, and what the next attempt has to know."""
    record = attempt.record
    ours = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "tries": str(attempt.failed_tries + 1),
        "first_failed_at": first_failed_at.isoformat(),
        "due_at": due_at.isoformat(),
    }
    return [*record.headers, *((PREFIX + name, value.encode()) for name, value in ours.items())]


def replay_headers(record: Record, *, now: datetime) -> list[tuple[str, bytes | None]]:
    """For a dead record that is to be tried anew, by the group whose retry topic it is sent to."""
    attempt = Attempt(record, failed_tries=-1, first_failed_at=None, due_at=None)
    headers = retry_headers(attempt, first_failed_at=now, due_at=now)
    return [*headers, (PREFIX + "replay", b"1")]


def next_attempt(retried: Record) -> Attempt:
    """The attempt that a record on a retry topic stands for.

    Raises `PermanentError` (`decode`) for one that no service can have written.
    """
    theirs, ours = split_headers(retried.headers, PREFIX, FIRST)
    found = {name.removeprefix(PREFIX): value for name, value in ours}
    try:
        text = {name: (value or b"").decode() for name, value in found.items()}
        original = Record(
            topic=text["topic"],
            partition=int(text["partition"]),
            offset=int(text["offset"]),
            timestamp_ms=int(text["timestamp"]),
            key=retried.key,
            value=retried.value,
            headers=theirs,
        )
        return Attempt(
            original,
            failed_tries=max(0, int(text["tries"])),
            first_failed_at=datetime.fromisoformat(text["first_failed_at"]).astimezone(UTC),
            due_at=datetime.fromisoformat(text["due_at"]).astimezone(UTC),
            is_replay=text.get("replay") == "1",
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise PermanentError(Reason.DECODE, f"no record of a retry: {error!r}"[:300]) from error
