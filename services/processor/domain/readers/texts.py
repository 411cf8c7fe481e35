"""Texts, closed sets of them, and what a file may say about any value that is a text: what is cut, and what is null."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.readers.naming import other_type, shown
from services.processor.domain.readers.reader import Column, Reader, Refusal, Value
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type
from shared.reasons import Reason

TRIMMED = " \t\n\r\f\v\u00a0\ufeff"
"""Blanks, tabs, line ends, the blank that does not break, and the mark of byte order."""

TEXT = pa.string()


def string_reader(_: Type, column: files.Column) -> Reader:
    return with_rules(Reader(TEXT, (TEXT,), lambda texts: texts, to_text), column)


def enum_reader(kind: Type, column: files.Column) -> Reader:
    members = pa.array(kind.values, TEXT)
    known = frozenset(kind.values)

    def read(texts: Array) -> Array | None:
        is_member = pc.or_(pc.is_in(texts, value_set=members), pc.is_null(texts))
        return texts if pc.all(is_member, min_count=0).as_py() else None

    def value(raw: Any) -> Any:
        if not isinstance(raw, str):
            return other_type(raw, "a text")
        if raw in known:
            return raw
        return Refusal(Reason.RANGE, f"{shown(raw)!r} is none of {', '.join(kind.values[:20])}")

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def to_text(raw: Any) -> str | Refusal:
    if not isinstance(raw, str):
        return other_type(raw, "string")
    return refuse_odd(raw) or raw


def refuse_odd(text: str) -> Refusal | None:
    """What PostgreSQL, or UTF-8, cannot hold."""
    if "\0" in text:
        return Refusal(Reason.NUL, "a text with a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return Refusal(Reason.ENCODING, "a text with half a surrogate pair")
    return None


def with_rules(reader: Reader, column: files.Column) -> Reader:
    """The reader behind the file's rules for texts. Without such rules it stays as it is."""
    if not (column.trim or column.empty_as_null or column.nulls):
        return reader
    forms = reader.forms if TEXT in reader.forms else (*reader.forms, TEXT)
    takes_texts = TEXT in reader.forms
    nulls = [*column.nulls, *([""] if column.empty_as_null else [])]
    return Reader(
        reader.arrow,
        forms,
        _ruled_column(reader.column if takes_texts else _only_nulls(reader), nulls, trims=column.trim),
        _ruled_value(reader.value, frozenset(nulls), trims=column.trim),
    )


def _ruled_column(read: Column, nulls: list[str], *, trims: bool) -> Column:
    null_texts = pa.array(nulls, TEXT)

    def ruled(values: Array) -> Array | None:
        if values.type != TEXT:
            return read(values)
        texts = pc.utf8_trim(values, characters=TRIMMED) if trims else values
        if nulls:
            texts = pc.if_else(pc.is_in(texts, value_set=null_texts), pa.scalar(None, TEXT), texts)
        return read(texts)

    return ruled


def _ruled_value(read: Value, nulls: frozenset[str], *, trims: bool) -> Callable[[Any], Any]:
    def ruled(raw: Any) -> Any:
        if isinstance(raw, str):
            raw = raw.strip(TRIMMED) if trims else raw
            if raw in nulls:
                return None
        return read(raw)

    return ruled


def _only_nulls(reader: Reader) -> Column:
    """For a column of numbers or booleans whose only texts are those that mean null."""

    def read(values: Array) -> Array | None:
        if values.type != TEXT:
            return reader.column(values)
        return pa.array([None] * len(values), reader.arrow) if values.null_count == len(values) else None

    return read
