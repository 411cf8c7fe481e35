"""Lists and structs: their parts are read by the readers of their own types."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.numbers import Numeral
from services.processor.domain.readers.naming import other_type
from services.processor.domain.readers.reader import Column, Reader, Refusal, Value
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type
from shared.datasets.written import relisted

_DECODER = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral)


def list_reader(kind: Type, item: Reader) -> Reader:
    arrow = arrow_type(kind)

    def value(raw: Any) -> Any:
        if not isinstance(raw, list):
            return other_type(raw, "an array")
        found = []
        for place, part in enumerate(raw, 1):
            read = None if part is None else item.value(part)
            if isinstance(read, Refusal):
                return read.inside(f"item {place}")
            found.append(read)
        return found

    def read(lists: Array) -> Array | None:
        items = item.column(pc.list_flatten(lists))
        if items is None:
            return None
        return relisted(lists, items).cast(arrow)

    return _whole(arrow, tuple(map(pa.list_, item.forms)), read, value)


def struct_reader(kind: Type, readers: dict[str, Reader]) -> Reader:
    """Of an object: fields that it lacks are null, and others are none of the column's."""
    arrow = arrow_type(kind)

    def value(raw: Any) -> Any:
        if not isinstance(raw, dict) and raw != []:  # an empty object, as PHP writes it
            return other_type(raw, "an object")
        found = {}
        for name, reader in readers.items():
            part = raw.get(name) if raw else None
            read = None if part is None else reader.value(part)
            if isinstance(read, Refusal):
                return read.inside(name)
            found[name] = read
        return found

    def read(objects: Array) -> Array | None:
        columns: list[Array] = []
        for name, reader in readers.items():
            column = reader.column(pc.struct_field(objects, name))
            if column is None:
                return None
            columns.append(column)
        fields = [arrow.field(place) for place in range(len(columns))]
        return pa.StructArray.from_arrays(columns, fields=fields, mask=pc.is_null(objects))

    return _whole(arrow, _struct_forms(readers), read, value)


def _struct_forms(readers: dict[str, Reader]) -> tuple[pa.DataType, ...]:
    """All fields as numbers where they may be, and all as texts."""
    if not all(reader.forms for reader in readers.values()):
        return ()
    ways = {0, -1} if any(len(reader.forms) > 1 for reader in readers.values()) else {0}
    return tuple(
        pa.struct([pa.field(name, reader.forms[way]) for name, reader in readers.items()])
        for way in sorted(ways, reverse=True)
    )


def _whole(arrow: pa.DataType, forms: tuple[pa.DataType, ...], read: Column, value: Value) -> Reader:
    return Reader(arrow, forms, read if forms else _from_texts(arrow, value), value)


def _from_texts(arrow: pa.DataType, value: Value) -> Column:
    """Where a part is needed as it was written, all of the value is read one by one."""

    def read(raws: Array) -> Array | None:
        found = []
        for raw in raws.to_pylist():
            try:
                decoded = None if raw is None else _DECODER.decode(raw.decode())
            except RecursionError:
                return None
            item = None if decoded is None else value(decoded)
            if isinstance(item, Refusal):
                return None
            found.append(item)
        return pa.array(found, arrow)

    return read
