"""What a reader makes of a cell or a text who knows the column's type: by the code of the checker."""

import math
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from console.verify.values import read
from shared.datasets.column import Column
from shared.datasets.type_spelling import type_of
from shared.datasets.types import FLOATS, WHOLE_BITS, Type
from tests.readers.source import HEXADECIMAL, NO_NUMBERS_COLUMNS, TYPES

FROM_TEXT = {*WHOLE_BITS, *FLOATS, "boolean"}


def value_of(name: str, found: Any) -> Any:
    """The stored value of the column. `found`: a text, or what the reader has for it."""
    kind = type_of(TYPES.get(name, "float64" if name in NO_NUMBERS_COLUMNS else "int64"))
    return _value(kind, found, "hex" if name in HEXADECIMAL else "base64")


def _value(kind: Type, found: Any, encoding: Any) -> Any:
    if found is None:
        return None
    if kind.item is not None:
        return [_value(kind.item, item, encoding) for item in found]
    if kind.fields:
        return {name: _value(inner, found[name], encoding) for name, inner in kind.fields}
    return _of_text(kind, found, encoding) if isinstance(found, str) else _of_other(kind, found)


def _of_text(kind: Type, found: str, encoding: Any) -> Any:
    if kind.name in {"string", "enum", "json"}:
        return found
    column = Column(name="x", type=str(kind), from_text=kind.name in FROM_TEXT)
    if kind.name == "binary":
        column = column.model_copy(update={"encoding": encoding})
    return read(kind, column, found)


def _of_other(kind: Type, found: Any) -> Any:
    if kind.name == "decimal":
        return Decimal(repr(found) if isinstance(found, float) else found)
    if kind.name == "float32":
        return struct.unpack("f", struct.pack("f", found))[0]
    if kind.name == "timestamp" and isinstance(found, int):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found)
    return int(found) if kind.name in WHOLE_BITS else found


def same(left: Any, right: Any) -> bool:
    """Equal, where no number equals no number and zeros have a sign."""
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (left, math.copysign(1, left)) == (
            right,
            math.copysign(1, right),
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


def differences(expected: list[Any], found: list[Any]) -> list[tuple[int, Any, Any]]:
    """Row, expected and found."""
    assert len(expected) == len(found)
    return [
        (row, left, right)
        for row, (left, right) in enumerate(zip(expected, found, strict=True))
        if not same(left, right)
    ]
