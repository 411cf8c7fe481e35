"""One line, exactly: its values, or the reason and the text of its refusal."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.processor.domain.numbers import Numeral, to_float64, to_int64
from services.processor.domain.parse_schema import MAX_KEY_BYTES, ParseSchema, Target
from services.processor.domain.times import to_date, to_timestamp
from services.processor.domain.unmapped_fields import count_unnamed
from shared.datasets.model import ColumnType
from shared.datasets.paths import format_path
from shared.reasons import Reason

MAX_SHOWN_CHARS = 40
"""Of a number, in the text of a refusal."""


@dataclass(frozen=True, slots=True)
class Row:
    values: tuple[Any, ...]
    """In the order of the parse_schema's targets."""
    ignored: int


@dataclass(frozen=True, slots=True)
class RejectedLine:
    reason: Reason
    detail: str
    is_placeholder: bool = False
    """The line is `null`: the requests log knows why."""


class NestedTooDeepError(ValueError):
    """Deeper than Python's parser goes."""


def read_line(line: bytes, parse_schema: ParseSchema) -> Row | RejectedLine:
    """Raises `NestedTooDeepError`."""
    record = _decode(line)
    if isinstance(record, RejectedLine):
        return record
    if record is None:
        return RejectedLine(Reason.EMPTY, "the record is null", is_placeholder=True)
    if not isinstance(record, dict):
        return RejectedLine(Reason.TYPE, f"{_name(record)} where an object is expected")
    values = []
    for target in parse_schema.targets:
        value = _value(record, target)
        if isinstance(value, RejectedLine):
            return value
        values.append(value)
    key_bytes = sum(len(values[place].encode()) for place in parse_schema.key_texts)
    if key_bytes > MAX_KEY_BYTES:
        return RejectedLine(
            Reason.TOO_LARGE,
            f"the texts of its key have {key_bytes} bytes, at most {MAX_KEY_BYTES} are taken",
        )
    return Row(tuple(values), count_unnamed(record, parse_schema.tree))


def _decode(line: bytes) -> Any:
    if b"\0" in line:
        return RejectedLine(Reason.NUL, "the line contains a NUL byte")
    try:
        return _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return RejectedLine(Reason.ENCODING, f"not UTF-8: {error.reason} at byte {error.start}")
    except RecursionError as error:
        raise NestedTooDeepError(str(error)) from error
    except ValueError as error:
        return RejectedLine(Reason.DECODE, f"not JSON: {error}")


def _value(record: dict[str, Any], target: Target) -> Any:
    """What the column gets, None for null and missing, or the refusal."""
    value: Any = record
    for depth, key in enumerate(target.path):
        if value == []:  # an empty object, as PHP writes it
            value = None
            break
        if not isinstance(value, dict):
            path = format_path(target.path[:depth])
            return RejectedLine(Reason.TYPE, f"{path}: {_name(value)} where an object is expected")
        value = value.get(key)
        if value is None:
            break
    if value is None:
        return (
            RejectedLine(Reason.NO_KEY, f"key column {target.name} has no value") if target.is_key else None
        )
    checked = _CHECKS[target.type](value, target)
    if isinstance(checked, Reason):
        return RejectedLine(checked, f"{target.name}: {_error_text(checked, value, target)}")
    return checked


def _error_text(reason: Reason, value: Any, target: Target) -> str:
    if not isinstance(value, Numeral) or target.type not in _NUMBERS:
        return _MESSAGES[reason].format(_name(value), _EXPECTED.get(target.type, target.type))
    shown = value.text if len(value.text) <= MAX_SHOWN_CHARS else f"{value.text[:MAX_SHOWN_CHARS]}..."
    if reason is Reason.TYPE:
        return f"{shown} is not a whole number; `inexact: round` in the column's file would round it"
    if target.rounds or target.type == "int64":
        return f"{shown} is beyond {target.type}"
    return f"{shown} is not exactly a {target.type}; without `inexact: refuse` in the column's file it would be rounded"


def _to_string(value: Any, _: Target) -> str | Reason:
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


def _to_boolean(value: Any, _: Target) -> bool | Reason:
    return value if isinstance(value, bool) else Reason.TYPE


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _name(value: Any) -> str:
    return _NAMES.get(type(value), "an array")


_DECODER = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral, parse_constant=_refuse_constant)

_NUMBERS = frozenset({"int64", "float64"})

_CHECKS: dict[ColumnType, Callable[[Any, Target], Any]] = {
    "string": _to_string,
    "int64": lambda value, target: (
        to_int64(value, rounds=target.rounds) if isinstance(value, Numeral) else Reason.TYPE
    ),
    "float64": lambda value, target: (
        to_float64(value, rounds=target.rounds) if isinstance(value, Numeral) else Reason.TYPE
    ),
    "boolean": _to_boolean,
    "timestamp": lambda value, _: to_timestamp(value) if isinstance(value, str) else Reason.TYPE,
    "date": lambda value, _: to_date(value) if isinstance(value, str) else Reason.TYPE,
}

_MESSAGES = {
    Reason.TYPE: "{} where {} is expected",
    Reason.RANGE: "{} beyond the range of {}",
    Reason.NUL: "{} with a NUL character",
    Reason.ENCODING: "{} with half a surrogate pair",
}

_EXPECTED: dict[ColumnType, str] = {
    "timestamp": "a timestamp such as 2026-11-29T10:00:00Z",
    "date": "a date such as 2026-11-29",
}

_NAMES = {
    bool: "a boolean",
    Numeral: "a number",
    str: "a text",
    dict: "an object",
    type(None): "null",
}
