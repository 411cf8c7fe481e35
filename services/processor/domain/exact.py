"""One line, exactly: its values, or why it is refused and in which words."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.processor.domain.fields import count_unnamed
from services.processor.domain.layout import MAX_KEY_BYTES, Layout, Target
from services.processor.domain.times import to_date, to_timestamp
from shared.datasets.model import ColumnType
from shared.datasets.paths import format_path
from shared.events.reasons import Reason

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

MAX_INTEGER_DIGITS = 400
"""Longer ones are beyond every column, and would take Python time that grows with the square of their length."""


@dataclass(frozen=True, slots=True)
class Row:
    values: tuple[Any, ...]
    """In the order of the layout's targets."""
    ignored: int


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: Reason
    detail: str
    is_placeholder: bool = False
    """The line is `null`: the requests log knows why."""


class NestedTooDeepError(ValueError):
    """Deeper than Python's parser goes."""


class _NegativeZero(int):
    """`-0`: the integer 0, and as a float -0.0."""


class _Huge:
    """An integer of more than `MAX_INTEGER_DIGITS` digits."""


def read_line(line: bytes, layout: Layout) -> Row | Refusal:
    """Raises `NestedTooDeepError`."""
    record = _decode(line)
    if isinstance(record, Refusal):
        return record
    if record is None:
        return Refusal(Reason.EMPTY, "the record is null", is_placeholder=True)
    if not isinstance(record, dict):
        return Refusal(Reason.TYPE, f"{_name(record)} where an object is expected")
    values = []
    for target in layout.targets:
        value = _value(record, target)
        if isinstance(value, Refusal):
            return value
        values.append(value)
    key_bytes = sum(len(values[place].encode()) for place in layout.key_texts)
    if key_bytes > MAX_KEY_BYTES:
        return Refusal(
            Reason.TOO_LARGE,
            f"the texts of its key have {key_bytes} bytes, at most {MAX_KEY_BYTES} are taken",
        )
    return Row(tuple(values), count_unnamed(record, layout.tree))


def _decode(line: bytes) -> Any:
    if b"\0" in line:
        return Refusal(Reason.NUL, "the line holds a NUL byte")
    try:
        return _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return Refusal(Reason.ENCODING, f"not UTF-8: {error.reason} at byte {error.start}")
    except RecursionError as error:
        raise NestedTooDeepError(str(error)) from error
    except ValueError as error:
        return Refusal(Reason.DECODE, f"not JSON: {error}")


def _value(record: dict[str, Any], target: Target) -> Any:
    """What the column gets, None for null and missing, or the refusal."""
    value: Any = record
    for depth, key in enumerate(target.path):
        if not isinstance(value, dict):
            path = format_path(target.path[:depth])
            return Refusal(Reason.TYPE, f"{path}: {_name(value)} where an object is expected")
        value = value.get(key)
        if value is None:
            break
    if value is None:
        return Refusal(Reason.NO_KEY, f"key column {target.name} has no value") if target.is_key else None
    checked = _CHECKS[target.type](value)
    if isinstance(checked, Reason):
        return Refusal(checked, f"{target.name}: {_COMPLAINTS[checked].format(_name(value), target.type)}")
    return checked


def _to_string(value: Any) -> str | Reason:
    if not isinstance(value, str):
        return Reason.TYPE
    if "\0" in value:
        return Reason.NUL
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return Reason.ENCODING
    return value


def _to_int64(value: Any) -> int | Reason:
    if isinstance(value, _Huge):
        return Reason.RANGE
    if not isinstance(value, int) or isinstance(value, bool):
        return Reason.TYPE
    return int(value) if INT64_MIN <= value <= INT64_MAX else Reason.RANGE


def _to_float64(value: Any) -> float | Reason:
    if isinstance(value, _Huge):
        return Reason.RANGE
    if isinstance(value, _NegativeZero):
        return -0.0
    if not isinstance(value, int | float) or isinstance(value, bool):
        return Reason.TYPE
    try:
        number = float(value)
    except OverflowError:
        return Reason.RANGE
    # An infinity is no JSON: it is what a literal beyond the range became.
    return number if number not in _INFINITIES and number == value else Reason.RANGE


def _to_boolean(value: Any) -> bool | Reason:
    return value if isinstance(value, bool) else Reason.TYPE


def _read_integer(text: str) -> Any:
    if text == "-0":
        return _NegativeZero()
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else _Huge()


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _name(value: Any) -> str:
    return _NAMES.get(type(value), "an array")


_DECODER = json.JSONDecoder(parse_int=_read_integer, parse_constant=_refuse_constant)

_INFINITIES = (float("inf"), float("-inf"))

_CHECKS: dict[ColumnType, Callable[[Any], Any]] = {
    "string": _to_string,
    "int64": _to_int64,
    "float64": _to_float64,
    "boolean": _to_boolean,
    "timestamp": lambda value: to_timestamp(value) if isinstance(value, str) else Reason.TYPE,
    "date": lambda value: to_date(value) if isinstance(value, str) else Reason.TYPE,
}

_COMPLAINTS = {
    Reason.TYPE: "{} where {} is expected",
    Reason.RANGE: "{} beyond what {} holds exactly",
    Reason.NUL: "{} with a NUL character",
    Reason.ENCODING: "{} with half a surrogate pair",
}

_NAMES = {
    bool: "a boolean",
    int: "an integer",
    _NegativeZero: "an integer",
    _Huge: "an integer",
    float: "a number",
    str: "a text",
    dict: "an object",
    type(None): "null",
}
