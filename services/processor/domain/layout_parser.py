"""Chunks of lines of one layout to Arrow, each value from its place; what is not of one layout is left to the others.

The grammar of what stands here is checked in full: texts for their end and their escapes, numbers for their digits.
"""

from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import stringzilla

from services.processor.domain.line_layout import Field, Layout, layout_of
from services.processor.domain.number_tokens import (
    Bytes,
    Flags,
    Places,
    all_numbers,
    begins_with,
    short_wholes,
)
from services.processor.domain.parse_schema import ParseSchema
from services.processor.domain.readers.texts import TEXT
from services.processor.domain.typed_columns import Columns, typed_columns
from services.processor.domain.unmapped_fields import UnnamedFields


class _DoubtError(Exception):
    """A value is left to the other parsers."""


def read_layout(
    data: bytes, lines: int, parse_schema: ParseSchema, fields: UnnamedFields
) -> tuple[Columns, int] | None:
    """As `column_parser.read_columns`, of a chunk whose lines are all alike; None of any other.

    A third of its time. None costs a look at the first line where that is unlike, and a few looks at the chunk else.
    """
    if not parse_schema.is_flat or (layout := layout_of(data, lines)) is None:
        return None
    try:
        columns = _columns(layout, lines, parse_schema)
        ignored = _count_others(layout, parse_schema)
    except _DoubtError:
        return None
    if columns is None or (ignored and parse_schema.known is not None):
        return None
    fields.saw([field.name for field in layout.fields])
    return columns, ignored


def _columns(layout: Layout, lines: int, parse_schema: ParseSchema) -> Columns | None:
    by_name = {field.name: field for field in layout.fields}
    values = (
        _values(layout.text, field, target.reader.forms)
        if (field := by_name.get(target.path[0])) is not None
        else _nulls(lines, target.reader.forms[0])
        for target in parse_schema.targets
    )
    return typed_columns(values, parse_schema)


def _count_others(layout: Layout, parse_schema: ParseSchema) -> int:
    """The values that no column is for, but null; they are JSON as well."""
    others = [field for field in layout.fields if field.name not in parse_schema.tree]
    return sum(
        len(values) - values.null_count
        for values in (_values(layout.text, field, (TEXT, pa.bool_(), pa.float64())) for field in others)
    )


def _values(text: Bytes, field: Field, forms: tuple[pa.DataType, ...]) -> "pa.Array[Any]":
    """Those of a field, all of one of the forms. Raises `_DoubtError`."""
    first = text.bytes[field.starts]
    is_null = first == ord("n")
    has_null = bool(np.any(is_null))
    if has_null:
        _expect(_are(text, field.starts[is_null], field.ends[is_null], b"null"))
        if np.all(is_null):
            return _nulls(len(first), forms[0])
        first = first[~is_null]
    nulls = is_null if has_null else None
    if first[0] == ord('"'):
        _expect(TEXT in forms and bool(np.all(first == ord('"'))))
        return _texts(text, field, nulls)
    if first[0] in (ord("t"), ord("f")):
        _expect(pa.bool_() in forms)
        return _booleans(text, field, nulls)
    number = next((form for form in forms if pa.types.is_integer(form) or pa.types.is_floating(form)), None)
    _expect(number is not None)
    return _numbers(text, field, nulls, number)


def _numbers(text: Bytes, field: Field, nulls: Flags | None, form: Any) -> "pa.Array[Any]":
    starts, ends = (field.starts, field.ends) if nulls is None else (field.starts[~nulls], field.ends[~nulls])
    is_whole = pa.types.is_integer(form)
    if is_whole and nulls is None and (wholes := short_wholes(text, starts, ends)) is not None:
        return _cast(pa.array(wholes), form)
    _expect(all_numbers(text, starts, ends, are_whole=is_whole))
    return _cast(_taken(text, field.starts, field.ends, nulls), form)


def _cast(values: "pa.Array[Any]", form: Any) -> "pa.Array[Any]":
    try:
        return values.cast(form)
    except pa.ArrowInvalid as error:
        raise _DoubtError from error


def _booleans(text: Bytes, field: Field, nulls: Flags | None) -> "pa.Array[Any]":
    words, lengths = text.words[field.starts], field.ends - field.starts
    is_true = (lengths == len(b"true")) & begins_with(words, b"true")
    is_sure = is_true | ((lengths == len(b"false")) & begins_with(words, b"false"))
    _expect(bool(np.all(is_sure if nulls is None else is_sure | nulls)))
    values: pa.Array[Any] = pa.array(is_true, mask=nulls)
    return values


def _texts(text: Bytes, field: Field, nulls: Flags | None) -> "pa.Array[Any]":
    starts, ends = field.starts + 1, field.ends - 1
    is_closed = (ends >= starts) & (text.bytes[ends] == ord('"'))
    if nulls is not None:
        is_closed |= nulls
        ends = np.where(nulls, starts, ends)
    _expect(bool(np.all(is_closed)))
    texts = _taken(text, starts, ends, nulls)
    content = _content(texts)
    if stringzilla.find(content, b"\\") >= 0:
        is_shown = text.bytes[ends - 1] != ord("\\")
        _expect(bool(np.all(is_shown if nulls is None else is_shown | nulls)))
        return _unescaped(texts)
    _expect(stringzilla.find(content, b'"') < 0)
    return texts


def _content(texts: "pa.Array[Any]") -> memoryview | bytes:
    buffer = texts.buffers()[2]
    return memoryview(buffer).cast("B") if buffer is not None and buffer.size else b""


def _unescaped(texts: "pa.Array[Any]") -> "pa.Array[Any]":
    """As a list of JSON they are as many texts as before only where none has a quotation mark of its own.

    The last byte of none is a backslash.
    """
    filled: list[Any] = texts.drop_null().cast(pa.binary()).to_pylist()
    joined = b'["' + b'","'.join(filled) + b'"]'
    _expect(stringzilla.find(joined, b"\\u0000") < 0)
    try:
        found = orjson.loads(joined)
    except orjson.JSONDecodeError as error:
        raise _DoubtError from error
    _expect(len(found) == len(filled))
    values = pa.array(found, TEXT)
    if not texts.null_count:
        return values
    is_null = texts.is_null().to_numpy(zero_copy_only=False)
    return values.take(pa.array(np.cumsum(~is_null) - 1, pa.int64(), mask=is_null))


def _taken(text: Bytes, starts: Places, ends: Places, nulls: Flags | None) -> "pa.Array[Any]":
    """The bytes from each start to its end as texts. What is between them is the other half of the pieces."""
    places = np.empty(2 * len(starts), np.int32)
    places[0::2], places[1::2] = starts, ends
    buffers = [None, pa.py_buffer(places.data), pa.py_buffer(text.padded)]
    pieces: pa.Array[Any] = pa.Array.from_buffers(TEXT, len(places) - 1, buffers)
    wanted: Any = pa.array(np.arange(0, len(places), 2), mask=nulls)
    taken: pa.Array[Any] = pieces.take(wanted)
    return taken


def _nulls(count: int, form: Any) -> "pa.Array[Any]":
    nulls: pa.Array[Any] = pa.nulls(count, form)
    return nulls


def _are(text: Bytes, starts: Places, ends: Places, literal: bytes) -> bool:
    return bool(np.all(ends - starts == len(literal))) and text.all_are(starts, literal)


def _expect(is_sure: bool) -> None:
    if not is_sure:
        raise _DoubtError
