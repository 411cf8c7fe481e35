"""Encodes the record of a batch as a text for the database."""

import base64

import orjson

from shared.bus.messages import Record


def pack(record: Record) -> str:
    """JSON with the bytes in base64: a text of PostgreSQL can have neither NUL nor bytes outside UTF-8."""
    return orjson.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        }
    ).decode()


def unpack(text: str) -> Record:
    """The very record that was packed."""
    found = orjson.loads(text)
    return Record(
        topic=found["topic"],
        partition=found["partition"],
        offset=found["offset"],
        timestamp_ms=found["timestamp_ms"],
        key=_bytes(found["key"]),
        value=_bytes(found["value"]),
        headers=tuple((name, _bytes(value)) for name, value in found["headers"]),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
