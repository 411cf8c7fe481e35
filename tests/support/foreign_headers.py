"""Headers that other programs put on records. OnPoint reads none of them and keeps them with the record."""

import struct

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

Headers = tuple[tuple[str, bytes | None], ...]

KINDS: dict[str, Headers] = {
    "a time in eight bytes, as Java writes it": (("timestamp", struct.pack(">q", 1_764_000_000_123)),),
    "null": (("tenant", None),),
    "doubled": (("twice", b"1"), ("twice", b"2"), ("twice", None)),
    "no name": (("", b"value"), ("", None)),
    "64 KiB": (("large", b"\xff" * 65_536),),
    "many": tuple((f"h{number}", b"\x00") for number in range(500)),
    "a trace": (
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("trace_id", b"\xfe"),
    ),
    "a serializer's": (("__TypeId__", b"\xac\xed\x00\x05"), ("contentType", b'"application/json"')),
    "a name outside ASCII": (("名前", "値".encode("utf-16")),),
    "another program's retry": (("x-retry-count", b"999"), ("kafka_deliveryAttempt", b"\x00\x00\x00\x05")),
    "OnPoint's own retry headers": (
        ("retry.topic", b"topic.without.reader"),
        ("retry.partition", b"\xff"),
        ("retry.offset", None),
        ("retry.tries", b"999"),
        ("retry.due_at", b"9999-12-31T23:59:59+00:00"),
        ("retry.replay", b"1"),
    ),
    "OnPoint's own dead-letter headers": (
        ("dlq.original.topic", b"topic.without.reader"),
        ("dlq.original.bytes", b"1"),
        ("dlq.tries", b"999"),
        ("dlq.run_id", b"another-run"),
    ),
    "Connect's": (("__connect.errors.topic", b"topic.without.reader"), ("__connect.errors.stage", None)),
}

ALL: Headers = tuple(header for headers in KINDS.values() for header in headers)


class _OddName(str):
    """What no client in Python writes, and some others do."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


ODD_NAME: Headers = ((_OddName(), b"1"), (_OddName(), None))
"""With a name that is not UTF-8."""


def with_odd_name(batch: BatchBuilder, value: bytes, *, codec: int) -> None:
    """Fills a batch with one record that has such headers. `codec`: of Kafka's format, 0 for none, 1 gzip, 3 lz4."""
    # The encoder in C asks a name for no bytes.
    batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1_000_000)  # noqa: SLF001 - no other way in
    batch.append(timestamp=None, key=b"k", value=value, headers=list(ODD_NAME))
    batch.close()
