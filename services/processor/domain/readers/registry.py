"""The reader of each type."""

from collections.abc import Callable
from typing import Final

from services.processor.domain.readers.bytes import binary_reader, boolean_reader, uuid_reader
from services.processor.domain.readers.clocks import duration_reader, time_reader
from services.processor.domain.readers.json_text import json_reader, text_reader
from services.processor.domain.readers.nested import list_reader, struct_reader
from services.processor.domain.readers.numbers import decimal_reader, float_reader, whole_reader
from services.processor.domain.readers.reader import Reader
from services.processor.domain.readers.stamps import date_reader, timestamp_reader
from services.processor.domain.readers.texts import enum_reader
from shared.datasets.column import Column
from shared.datasets.types import FLOATS, WHOLE_BITS, Type

READERS: Final[dict[str, Callable[[Type, Column], Reader]]] = {
    **dict.fromkeys(WHOLE_BITS, whole_reader),
    **dict.fromkeys(FLOATS, float_reader),
    "string": text_reader,
    "decimal": decimal_reader,
    "boolean": boolean_reader,
    "timestamp": timestamp_reader,
    "date": date_reader,
    "time": time_reader,
    "duration": duration_reader,
    "uuid": uuid_reader,
    "binary": binary_reader,
    "json": json_reader,
    "enum": enum_reader,
}
"""By the name of the type. What holds other types is put together from their readers."""


def reader_of(kind: Type, column: Column) -> Reader:
    """For values of the type that are a column's, or inside of them: the column's options hold for each."""
    if kind.item is not None:
        return list_reader(kind, reader_of(kind.item, column))
    if kind.fields:
        return struct_reader(kind, {name: reader_of(inner, column) for name, inner in kind.fields})
    return READERS[kind.name](kind, column)
