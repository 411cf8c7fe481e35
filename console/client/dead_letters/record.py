"""A dead-letter record as it is read: which record died, of what, and where the dead letter is. Pure.

Dead letters of the services carry `dlq.*` headers; those of a Kafka Connect sink carry `__connect.errors.*`, which are
read as the same fields. Nothing in them is trusted: a header may be missing, and may hold any text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from console.client.errors import InvalidRequestError
from console.client.services import check_service
from shared.bus.dead_letters import FIRST, HEADER_PREFIX, TRUNCATED_HEADER
from shared.bus.messages import Headers, Record, split_headers
from shared.events.topology import STAGE_OF_RESULT
from shared.reasons import Reason

CONNECT_PREFIX = "__connect.errors."
MAX_PARTITION = 2**31 - 1
"""Of any topic: Kafka and the table of actions have 32 bits for it."""

_POSITION = re.compile(r"([a-z0-9]+):([0-9]{1,9}):([0-9]{1,18})")
_DATASET = re.compile(rb'"dataset"\s*:\s*"([a-z][a-z0-9_]{0,62})"')
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a dead letter lies in its service's topic; its name on the command line."""

    service: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.service}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Original:
    """Where the record that died lies."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition} offset {self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    position: Position
    appended_ms: int
    """When the dead letter was appended, by its record's own time."""
    original: Original | None
    """None: its headers do not name it, so it cannot be replayed."""
    stage: str
    reason: str
    exception: str
    message: str
    tries: int | None
    first_failed_at: datetime | None
    failed_at: datetime
    run_id: str
    """Empty where the record named none that could be read; as is `batch_id`."""
    batch_id: str
    size: int
    """Bytes of key and value."""
    dataset: str = ""
    """Empty where the record names none."""
    is_truncated: bool = False
    """The dead letter has only the beginning of its record, so it cannot be replayed."""

    @property
    def identity(self) -> str:
        """Of the record that died: what dies again under the same one is the same entry of the queue."""
        if self.original is None:
            return identity_of(self.position, None, None, None)
        return identity_of(self.position, self.original.topic, self.original.partition, self.original.offset)

    @property
    def result_stage(self) -> str | None:
        """The stage whose result in the run ledger decides what became of the batch; None: no stage does."""
        if self.position.service == "quality":
            return STAGE_OF_RESULT.get(self.original.topic) if self.original else None
        return self.position.service


def identity_of(at: Position, topic: str | None, partition: int | None, offset: int | None) -> str:
    """Of a record that died, within its service: its own place, or its dead letter's where that is not known."""
    return f"@{at.partition}:{at.offset}" if topic is None else f"{topic}:{partition}:{offset}"


def parse_position(text: str) -> Position:
    """`loader:3:42`."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise InvalidRequestError(
            f"{text!r} names no dead letter: write SERVICE:PARTITION:OFFSET as `onpoint dlq list` shows it, "
            "for example loader:3:42"
        )
    service, partition, offset = found.groups()
    return Position(check_service(service), int(partition), int(offset))


def to_dead_letter(record: Record, service: str) -> DeadLetter:
    """Whatever is in the record: what cannot be read is empty."""
    _, written = split_headers(record.headers, HEADER_PREFIX, FIRST)
    fields = _texts(written, HEADER_PREFIX) or _of_connect(_texts(record.headers, CONNECT_PREFIX)) | _ids(
        record.value
    )
    return DeadLetter(
        position=Position(service, record.partition, record.offset),
        appended_ms=record.timestamp_ms,
        original=_original(fields, record),
        stage=fields.get("stage") or service,
        reason=fields.get("reason_code") or "unknown",
        exception=fields.get("exception", ""),
        message=fields.get("message", ""),
        tries=_number(fields.get("tries")),
        first_failed_at=_time(fields.get("first_failed_at")),
        failed_at=_time(fields.get("failed_at")) or record.appended_at,
        run_id=fields.get("run_id", ""),
        batch_id=fields.get("batch_id", ""),
        size=len(record.key or b"") + len(record.value or b""),
        dataset=_dataset(record.value),
        is_truncated=any(name == TRUNCATED_HEADER for name, _ in written),
    )


def original_record(dead_letter: DeadLetter, record: Record) -> Record | None:
    """The record that died, as it was on its own topic; None where its dead letter does not name it."""
    if dead_letter.original is None:
        return None
    original = dead_letter.original
    return Record(
        topic=original.topic,
        partition=original.partition,
        offset=original.offset,
        timestamp_ms=original.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=own_headers(record.headers),
    )


def own_headers(headers: Headers) -> Headers:
    """The headers that the record brought, unchanged; those of its dead letter, from a service or Connect, are left out."""
    brought, written = split_headers(headers, HEADER_PREFIX, FIRST)
    if written:
        return brought
    return tuple(header for header in headers if not header[0].startswith(CONNECT_PREFIX))


def _texts(headers: Headers, prefix: str) -> dict[str, str]:
    """As text; the last of a name is the one that was written last."""
    return {
        name.removeprefix(prefix): (value or b"").decode("utf-8", "replace").replace("\x00", "\ufffd")
        for name, value in headers
        if name.startswith(prefix)
    }


def _of_connect(headers: Mapping[str, str]) -> dict[str, str]:
    """Connect's headers by the services' names. It has no reason code: a converter's error is `decode`, others `handler`."""
    if not headers:
        return {}
    stage = headers.get("stage", "")
    return {
        "original.topic": headers.get("topic", ""),
        "original.partition": headers.get("partition", ""),
        "original.offset": headers.get("offset", ""),
        "consumer_group": headers.get("connector.name", ""),
        "stage": stage.lower(),
        "reason_code": (Reason.DECODE if stage.endswith("CONVERTER") else Reason.HANDLER).value,
        "exception": headers.get("exception.class.name", "").rpartition(".")[2],
        "message": headers.get("exception.message", ""),
    }


def _dataset(value: bytes | None) -> str:
    """Found in the text: to decode the value of every dead letter would take several times as long."""
    found = _DATASET.search(value or b"")
    return found[1].decode() if found else ""


def _ids(value: bytes | None) -> dict[str, str]:
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        name: document[name][:200].replace("\x00", "\ufffd")
        for name in ("run_id", "batch_id")
        if isinstance(document.get(name), str)
    }


def _original(fields: Mapping[str, str], record: Record) -> Original | None:
    topic = fields.get("original.topic")
    partition, offset = _number(fields.get("original.partition")), _number(fields.get("original.offset"))
    if not topic or partition is None or partition > MAX_PARTITION or offset is None:
        return None
    timestamp_ms = _number(fields.get("original.timestamp"))
    return Original(topic, partition, offset, record.timestamp_ms if timestamp_ms is None else timestamp_ms)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
