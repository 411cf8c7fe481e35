"""Columns of clean Parquet as the encoder of COPY takes them, so that what it writes is the table's type."""

from array import array
from collections.abc import Callable, Mapping
from struct import pack
from sys import byteorder
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

from shared.datasets.arrow import Array, arrow_type
from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.types import Type
from shared.datasets.written import relisted, texts_of

_Change = Callable[[Array], Array]

_UUID_OID, _STAMP_OID = 2950, 1184
_UUID_BYTES, _STAMP_BYTES = 16, 8
_NULL_ITEM = pack(">i", -1)
_EPOCH_MICROS = 946_684_800_000_000
"""From 1970 to PostgreSQL's 2000."""


class Wire:
    """Of one file. Costs nothing for columns that the encoder takes as they are."""

    def __init__(self, dataset: Dataset, schema: pa.Schema) -> None:
        """`schema`: of the file, and of what is written besides."""
        columns = {column.name: column for column in dataset.columns}
        self._changes: dict[int, _Change] = {}
        self._json: set[str] = set()
        for place, name in enumerate(schema.names):
            column = columns.get(name)
            change = None if column is None else _change_of(column.value_type, column)
            if column is not None and change is not None:
                self._changes[place] = change
                schema = schema.set(place, _field(name, change, column.value_type))
            if column is not None and column.value_type.postgres == "jsonb":
                self._json.add(name)
        self._schema = schema

    def encoder(self) -> ArrowToPostgresBinaryEncoder:
        if not self._json:
            return ArrowToPostgresBinaryEncoder(self._schema)
        builders: Mapping[str, Any] = {
            field.name: StringEncoderBuilder.new_with_output(field, Jsonb())
            if field.name in self._json
            else ArrowToPostgresBinaryEncoder.infer_encoder(field)
            for field in self._schema
        }
        return ArrowToPostgresBinaryEncoder.new_with_encoders(self._schema, dict(builders))

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if not self._changes:
            return rows
        columns = [
            self._changes[place](column) if place in self._changes else column
            for place, column in enumerate(rows.columns)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _field(name: str, change: _Change, kind: Type) -> "pa.Field[Any]":
    return pa.field(name, change(pa.array([], arrow_type(kind))).type)


def _change_of(kind: Type, column: Column) -> _Change | None:
    encoding = column.encoding or "base64"
    if kind.item is not None and kind.is_array:
        return _change_of_list(kind.item, column)
    match kind.name:
        case "time":
            return _times
        case "duration":
            return lambda values: values.view(pa.duration("us"))
        case "uuid":
            return _uuids
        case "list" | "struct":
            return lambda values: texts_of(values, kind, encoding)
    return None


def _change_of_list(item: Type, column: Column) -> _Change | None:
    """An array names the type of its items: the encoder knows neither UUIDs nor moments in lists."""
    if item.name == "uuid":
        return lambda lists: _arrays(lists, _uuids(pc.list_flatten(lists)), _UUID_OID, _UUID_BYTES)
    if item.name == "timestamp":
        return lambda lists: _arrays(lists, _moments(pc.list_flatten(lists)), _STAMP_OID, _STAMP_BYTES)
    change = _change_of(item, column)
    return None if change is None else lambda lists: relisted(lists, change(pc.list_flatten(lists)))


def _times(texts: Array) -> Array:
    moments = pc.binary_join_element_wise("1970-01-01T", texts, "").cast(pa.timestamp("us"))
    return moments.view(pa.int64()).view(pa.time64("us"))


def _uuids(texts: Array) -> Array:
    import polars as pl  # noqa: PLC0415 - 60 MB, for UUIDs only

    digits = pl.Series(pl.from_arrow(pc.replace_substring(texts, "-", "")))
    return digits.cast(pl.String).str.decode("hex").to_arrow().cast(pa.binary())


def _moments(stamps: Array) -> Array:
    since = pc.subtract(pc.fill_null(stamps.cast(pa.int64()), _EPOCH_MICROS), _EPOCH_MICROS)
    return pc.if_else(pc.is_null(stamps), pa.scalar(None, pa.binary()), _big_endian(since, "q"))


def _arrays(lists: Array, items: Array, oid: int, size: int) -> Array:
    """The bytes of PostgreSQL's arrays of one dimension, of items of this size."""
    prefixed = pc.fill_null(_joined(pack(">i", size), items), _NULL_ITEM)
    count: Array = pc.fill_null(pc.list_value_length(lists), pa.scalar(0, pa.int32()))
    head = _joined(pack(">iii", 1, 1, oid), _big_endian(count, "i"), pack(">i", 1))
    body = pc.binary_join(relisted(lists, prefixed), b"")
    return _joined(head, body)


def _big_endian(numbers: Array, code: str) -> Array:
    """The bytes of each number, the highest first. `code` is that of the module `array`."""
    swapped = array(code)
    size = swapped.itemsize
    data = numbers.buffers()[1]
    swapped.frombytes(data.slice(numbers.offset * size, len(numbers) * size) if data is not None else b"")
    if byteorder == "little":
        swapped.byteswap()
    return pa.Array.from_buffers(pa.binary(size), len(numbers), [None, pa.py_buffer(swapped.tobytes())]).cast(
        pa.binary()
    )


def _joined(*parts: Any) -> Array:
    given = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*given, pa.scalar(b"", pa.binary()))
