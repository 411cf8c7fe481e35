"""Stored values as text: what `jsonb` has. Columns at once, no object per value.

A duration is its seconds, bytes are in the column's encoding, times are ISO 8601 in UTC. What is read back by a column of
the same type is the same value.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.arrow import Array
from shared.datasets.types import FLOATS, WHOLE_BITS, Type

_NULL = "null"
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_CONTROLS = "[\x00-\x1f]"
_AS_JSON_IS = frozenset({*WHOLE_BITS, *FLOATS, "decimal", "boolean", "duration", "json"})
"""Their texts are JSON as they are; others are texts of JSON."""


def texts_of(values: Array, kind: Type, encoding: str) -> Array:
    """The text of each value, null where it is."""
    match kind.name:
        case "list" | "struct":
            return pc.if_else(
                pc.is_null(values), pa.scalar(None, pa.string()), json_of(values, kind, encoding)
            )
        case "duration":
            return _seconds(values)
        case "binary":
            import polars as pl  # noqa: PLC0415 - 60 MB, for bytes only

            encoded = pl.Series(pl.from_arrow(values)).bin.encode(encoding)  # type: ignore[arg-type]  # one of two
            return encoded.to_arrow().cast(pa.string())
        case "timestamp":
            # Without its zone: a system may have no table of them, and UTC is in the format.
            return pc.strftime(values.cast(pa.int64()).cast(pa.timestamp("us")), format=_STAMP)
        case "float32" | "float64":
            return values.cast(pa.string())
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def json_of(values: Array, kind: Type, encoding: str) -> Array:
    """Each value as JSON; a null is `null`."""
    match kind.name:
        case "list" if kind.item is not None:
            return _or_null(_joined("", "[", _items(values, kind.item, encoding), "]"))
        case "struct":
            found = _struct(values, kind, encoding)
            return pc.if_else(pc.is_null(values), pa.scalar(_NULL), found)
    texts = texts_of(values, kind, encoding)
    return _or_null(texts if kind.name in _AS_JSON_IS else _joined("", '"', _escaped(texts), '"'))


def _items(values: Array, item: Type, encoding: str) -> Array:
    texts = json_of(pc.list_flatten(values), item, encoding)
    return pc.binary_join(relisted(values, texts), ",")


def relisted(lists: Array, items: Array) -> Array:
    """Lists of the same lengths, with these items."""
    lengths: Array = pc.fill_null(pc.list_value_length(lists), pa.scalar(0, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    gaps: Array = pc.is_null(lists)
    return pa.ListArray.from_arrays(offsets, items, mask=gaps)


def _struct(values: Array, kind: Type, encoding: str) -> Array:
    parts: list[Any] = []
    for place, (name, inner) in enumerate(kind.fields):
        parts += [
            f'{"," if place else "{"}"{name}":',
            json_of(pc.struct_field(values, name), inner, encoding),
        ]
    return _joined("", *parts, "}")


def _escaped(texts: Array) -> Array:
    for sign in ("\\", '"'):
        texts = pc.replace_substring(texts, sign, f"\\{sign}")
    if pc.any(pc.match_substring_regex(texts, _CONTROLS)).as_py():
        for code in range(0x20):
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return texts


def _seconds(micros: Array) -> Array:
    """By the digits of the microseconds: no division rounds them."""
    digits = micros.cast(pa.decimal128(19, 0))
    scaled = pa.Array.from_buffers(pa.decimal128(19, 6), len(digits), digits.buffers(), offset=digits.offset)
    return scaled.cast(pa.string())


def _or_null(texts: Array) -> Array:
    return pc.fill_null(texts, _NULL)


def _joined(between: str, *parts: Any) -> Array:
    return pc.binary_join_element_wise(*parts, between)
