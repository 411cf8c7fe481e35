"""The consumer that change capture is measured against: each record by itself, in the steps of a sink of Kafka Connect.

| step | there | here |
|---|---|---|
| bytes to a value with a schema | JsonConverter: JSON, then a Struct, field by field | `json.loads`, then `ENVELOPE` |
| what a row of the lake is | a transform of one record | `row_of` |
| the writer's record | AvroData: each field once more, by the schema of the file | `RowWriter.write` |
| the file | Parquet's column writers, value by value | `RowWriter.write`, and Arrow for a row group |

It stores what the sink stores: the same columns and types, the same compression, row groups of the same size.
"""

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson
import pyarrow as pa
from aiokafka import AIOKafkaConsumer

from services.s3sink.cdc.open_object import open_writer
from shared.bus.kafka import KafkaClients
from shared.storage.object_store import ObjectStore

ROW_GROUP_ROWS = 100_000
OPERATIONS = {"c": "I", "r": "I", "u": "U", "d": "D", "t": "T"}
INSTANT: pa.DataType = pa.timestamp("ms", "UTC")
TYPES: dict[str, pa.DataType] = {
    "Op": pa.string(),
    "cdc_timestamp": INSTANT,
    **dict.fromkeys(("_lsn", "_tx", "_offset", "id", "user_id"), pa.int64()),
    **dict.fromkeys(("title", "body", "_run_id"), pa.string()),
    "changed": INSTANT,
    "_unchanged": pa.list_(pa.string()),
}
SCHEMA = pa.schema(TYPES)

Loads = Callable[[bytes], Any]
Convert = Callable[[Any], Any]


def of(kind: type) -> Convert:
    """An optional field of that type."""

    def convert(value: Any) -> Any:
        if value is not None and type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return convert


def struct(**fields: Convert) -> Convert:
    """An optional field with fields of its own."""
    listed = tuple(fields.items())

    def convert(value: Any) -> Any:
        return None if value is None else {name: field(value.get(name)) for name, field in listed}

    return convert


TEXT, NUMBER = of(str), of(int)
ROW = struct(id=NUMBER, user_id=NUMBER, title=TEXT, body=TEXT, _run_id=TEXT, changed=TEXT)
SOURCE = struct(
    **dict.fromkeys(("version", "connector", "name", "snapshot", "db", "sequence", "schema", "table"), TEXT),
    **dict.fromkeys(("ts_ms", "ts_us", "ts_ns", "txId", "lsn", "xmin"), NUMBER),
)
ENVELOPE = struct(
    before=ROW, after=ROW, source=SOURCE, transaction=TEXT, op=TEXT, ts_ms=NUMBER, ts_us=NUMBER, ts_ns=NUMBER
)


async def store(
    clients: KafkaClients, lake: ObjectStore, name: str, rows: int, loads: Loads = json.loads
) -> None:
    """Reads that number of records of the table's topic into one object. Memory is a row group."""
    consumer = clients.consumer_of(
        partial(AIOKafkaConsumer, f"cdc.public.{name}"), auto_offset_reset="earliest"
    )
    await consumer.start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "object.parquet"
        with RowWriter(file) as writer:
            try:
                for _ in range(rows):
                    record = await consumer.getone()
                    if (row := row_of(record.offset, loads(record.value))) is not None:
                        writer.write(row)
            finally:
                await consumer.stop()
        await lake.put(f"bench/{name}-{loads.__module__}.parquet", file)


store_with_orjson = partial(store, loads=orjson.loads)


async def poll(clients: KafkaClients, name: str, rows: int) -> None:
    """Reads the records one by one, and drops them."""
    consumer = clients.consumer_of(
        partial(AIOKafkaConsumer, f"cdc.public.{name}"), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        for _ in range(rows):
            await consumer.getone()
    finally:
        await consumer.stop()


class RowWriter:
    """Takes a row at a time, as Parquet's column writers do. A context manager: its end closes the file."""

    def __init__(self, file: Path) -> None:
        self._writer = open_writer(file, SCHEMA)
        self._columns: dict[str, list[Any]] = {name: [] for name in TYPES}
        kinds = {pa.string(): str, pa.int64(): int, INSTANT: datetime}
        self._fields = tuple(
            (name, of(kinds.get(kind, list)), self._columns[name].append) for name, kind in TYPES.items()
        )
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        for name, convert, append in self._fields:
            append(convert(row[name]))
        self._rows += 1
        if self._rows == ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.table(self._columns, SCHEMA))
        for values in self._columns.values():
            values.clear()
        self._rows = 0


def row_of(offset: int, value: Any) -> dict[str, Any] | None:
    """None where nothing but lineage changed. Raises `TypeError` for a field of another type."""
    change = ENVELOPE(value)
    old, source = change["before"], change["source"]
    row = change["after"] or old
    if change["op"] == "u" and old and _content(old) == _content(row):
        return None
    return {
        "Op": OPERATIONS[change["op"]],
        "cdc_timestamp": datetime.fromtimestamp(source["ts_ms"] / 1000, UTC),
        "_lsn": source["lsn"],
        "_tx": source["txId"],
        "_offset": offset,
        **row,
        "changed": datetime.fromisoformat(row["changed"]),
        "_unchanged": None,
    }


def _content(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_run_id"}
