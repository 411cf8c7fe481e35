"""The dead-letter record: the bytes, key and headers of the record that failed, and why it failed."""

import hashlib
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from shared.bus.messages import Record
from shared.errors import PermanentError

HEADER_PREFIX = "dlq."
FIRST = HEADER_PREFIX + "original.topic"
"""The first appended header: those before it are the record's own, whatever their names."""
TRUNCATED_HEADER = HEADER_PREFIX + "original.bytes"
"""Only on a truncated dead-letter record: the length of the whole value, which is in the original topic."""

MAX_MESSAGE_BYTES = 2000
DLQ_HEADERS_BYTES = 32_000
KEPT_KEY_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a record, over all its tries."""

    error: PermanentError
    tries: int
    first_failed_at: datetime
    failed_at: datetime


def truncate_to_limit(record: Record, most_bytes: int) -> tuple[Record, list[tuple[str, bytes | None]]]:
    """The record within the limit of its dead-letter record, and the header that marks a truncated one.

    The value is truncated. Where headers and key alone exceed half of the limit, the headers are dropped and the key is
    truncated too.
    """
    room = most_bytes - DLQ_HEADERS_BYTES
    headers_bytes = sum(len(name) * 4 + len(value or b"") for name, value in record.headers)
    # The dead-letter record has the key twice: as its key, and in a header.
    frame_bytes = headers_bytes + 2 * len(record.key or b"")
    size = len(record.value or b"")
    if frame_bytes + size <= room:
        return record, []
    key, headers = record.key, record.headers
    if frame_bytes > room // 2:
        key, headers, frame_bytes = (key or b"")[:KEPT_KEY_BYTES], (), 2 * KEPT_KEY_BYTES
    value = None if record.value is None else record.value[: room - frame_bytes]
    return replace(record, key=key, value=value, headers=headers), [(TRUNCATED_HEADER, str(size).encode())]


def dead_letter_headers(
    record: Record, failure: Failure, *, service: str, group: str
) -> list[tuple[str, bytes | None]]:
    """The record's own headers as they came, then the `dlq.*` headers."""
    cause = failure.error.__cause__ or failure.error
    stack = "".join(traceback.format_exception(cause))
    ids = _ids(record)
    ours = {
        "original.topic": record.topic,
        "original.partition": str(record.partition),
        "original.offset": str(record.offset),
        "original.timestamp": str(record.timestamp_ms),
        "consumer_group": group,
        "service": service,
        "stage": service,
        "tries": str(failure.tries),
        "reason_code": failure.error.reason.value,
        "exception": type(cause).__name__,
        "message": str(failure.error),
        "stacktrace_sha": hashlib.sha256(stack.encode("utf-8", "replace")).hexdigest(),
        "first_failed_at": failure.first_failed_at.astimezone(UTC).isoformat(),
        "failed_at": failure.failed_at.astimezone(UTC).isoformat(),
        "trace_id": ids.get("trace_id", ""),
        "run_id": ids.get("run_id", ""),
        "batch_id": ids.get("batch_id", ""),
        "schema_version": ids.get("version", ""),
    }
    encoded = [(HEADER_PREFIX + name, _bounded(value)) for name, value in ours.items()]
    return [*record.headers, *encoded, (HEADER_PREFIX + "original.key", record.key)]


def _bounded(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:MAX_MESSAGE_BYTES]


def _ids(record: Record) -> dict[str, str]:
    """The ids that can be read in an undecodable record, for filtering."""
    found: dict[str, str] = {}
    for name, value in record.headers:
        if name in {"trace_id", "traceparent"} and value is not None:
            found["trace_id"] = value.decode("utf-8", "replace")[:128]
    try:
        document = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        for name in ("run_id", "batch_id", "version"):
            if isinstance(document.get(name), str | int):
                found[name] = str(document[name])[:200]
    return found
