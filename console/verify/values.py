"""The value of each type that a record's value must become, by the dataset's file. Written apart from the processor.

What is read here is at least what the processor takes; `fits` is at most that. Between the two both verdicts are right.
"""

import base64
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.datasets.column import Column
from shared.datasets.types import FLOATS, NESTED, WHOLE_BITS, Type

EXACT = Context(prec=200_000, Emax=10**9, Emin=-(10**9))
WIDEST = 40
"""Digits of any number that a column but `json` can hold, and two more."""

_BLANKS = " \t\n\r\f\v\u00a0\ufeff"
_LEAP = re.compile(r"(.+[T ][0-9]{2}:[0-9]{2}):60(?:\.[0-9]+)?(Z|[+-][0-9:]+)?")
_MIDNIGHT = re.compile(r"(.+[T ])24(:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9:]+)?)")
_DURATION = re.compile(
    r"([+-]?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d{1,9}))?S)?)?", re.ASCII
)


def read(kind: Type, column: Column, raw: Any) -> Any:
    """As it must be stored. Raises `TypeError`, `ValueError` or `OverflowError` for what can be no such value."""
    raw = without_null_texts(kind, column, raw)
    if raw is None:
        return None
    if kind.item is not None:
        if not isinstance(raw, list):
            raise TypeError(raw)
        return [read(kind.item, column, item) for item in raw]
    if kind.fields:
        if not isinstance(raw, dict) and raw != []:
            raise TypeError(raw)
        return {name: read(inner, column, raw.get(name) if raw else None) for name, inner in kind.fields}
    return _READ[kind.name](kind, column, raw)


def reader_of(kind: Type, column: Column) -> Callable[[Any], Any]:
    """`read` for values that are not null, quicker where the file has no options."""
    has_options = any(getattr(column, name) for name in _OPTIONS)
    plain = None if has_options else _PLAIN.get(kind.name)
    return plain or (lambda raw: read(kind, column, raw))


def without_null_texts(kind: Type, column: Column, raw: Any) -> Any:
    """The value after the file's rules for texts; None for a text that means null."""
    if not isinstance(raw, str) or kind.name in {"json", *NESTED}:
        return raw
    text = raw.strip(_BLANKS) if column.trim else raw
    return None if text in column.nulls or (column.empty_as_null and not text) else text


def moment_of(text: str) -> datetime:
    """Also with `t` and `z`; a second 60 is the next minute's first instant, 24:00 the next day's."""
    moment = _local(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _local(text: str) -> datetime:
    text = text.upper()
    if (leap := _LEAP.fullmatch(text)) is not None:
        return datetime.fromisoformat(f"{leap[1]}:59{leap[2] or ''}") + timedelta(seconds=1)
    if (midnight := _MIDNIGHT.fullmatch(text)) is not None:
        return datetime.fromisoformat(f"{midnight[1]}00{midnight[2]}") + timedelta(days=1)
    return datetime.fromisoformat(text)


def number_of(raw: Any, column: Column, *, always: bool = False) -> int | Decimal:
    """Raises `TypeError` for what is no number in this column."""
    if isinstance(raw, str) and (always or column.from_text or column.decimal_comma):
        if column.decimal_comma and "." in raw:
            raise TypeError(raw)
        text = raw.replace(",", ".") if column.decimal_comma else raw
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
            raise TypeError(raw)
        return EXACT.create_decimal(text)
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal):
        raise TypeError(raw)
    return raw


def _whole(kind: Type, column: Column, raw: Any) -> int:
    number = number_of(raw, column)
    if isinstance(number, Decimal):
        if number and number.adjusted() > WIDEST:
            raise OverflowError(raw)
        nearest = number.to_integral_value(ROUND_HALF_EVEN, EXACT)
        if nearest != number and not column.rounds_as(kind.name):
            raise TypeError(raw)
        number = int(nearest)
    limit = 2 ** (WHOLE_BITS[kind.name] - 1)
    if not -limit <= number < limit:
        raise OverflowError(raw)
    return number


def _double(raw: Any) -> float:
    if isinstance(raw, str | bool):
        raise TypeError(raw)
    value = float(raw)
    if value in _ENDLESS:
        raise OverflowError(raw)
    return value


def _float(kind: Type, column: Column, raw: Any) -> float:
    number = number_of(raw, column)
    value = _double(number)
    return value if kind.name == "float64" else _single(Decimal(number))


_ENDLESS = (float("inf"), float("-inf"))
_INFINITE = 0x7F800000
"""The bits of the first float of 32 that is no number."""


def _single(number: Decimal) -> float:
    """The nearest float of 32 bits, by exact distances."""
    first: float = struct.unpack("f", struct.pack("f", float(number)))[0]
    [bits] = struct.unpack("i", struct.pack("f", first))
    near = [bits, *(bits + step for step in (-1, 1) if 0 <= (bits & 0x7FFFFFFF) + step < _INFINITE)]
    found = {place: struct.unpack("f", struct.pack("i", place))[0] for place in near}
    distance = {place: EXACT.abs(EXACT.subtract(Decimal(value), number)) for place, value in found.items()}
    best = min(found, key=lambda place: (distance[place], place & 1))
    return float(found[best])


def _decimal(kind: Type, column: Column, raw: Any) -> Decimal:
    number = EXACT.create_decimal(number_of(raw, column, always=True))
    if number and number.adjusted() > WIDEST:
        raise OverflowError(raw)
    step = Decimal((0, (1,), -kind.scale))
    nearest = number.quantize(step, ROUND_HALF_EVEN, Context(prec=2 * WIDEST))
    if nearest != number and not column.rounds_as(kind.name):
        raise TypeError(raw)
    if len(nearest.as_tuple().digits) > kind.precision and nearest:
        raise OverflowError(raw)
    return nearest or step * 0


def _boolean(_: Type, column: Column, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if column.from_text or column.true_words or column.false_words:
        if raw in (column.true_words or ("true",)):
            return True
        if raw in (column.false_words or ("false",)):
            return False
    raise TypeError(raw)


def _parsed(column: Column, raw: Any) -> datetime:
    """By the file's own format. The library knows six digits of a second."""
    text = _text(raw)
    if column.text_format is not None and "%f" in column.text_format:
        text = re.sub(r"(\d{6})\d{1,3}(?!\d)", r"\1", text)
    return datetime.strptime(text, column.text_format or "")  # noqa: DTZ007 - the zone is the column's


def _timestamp(_: Type, column: Column, raw: Any) -> datetime:
    moment = _parsed(column, raw) if column.text_format else _local(_text(raw))
    if moment.tzinfo is None and column.zone is not None:
        moment = moment.replace(tzinfo=ZoneInfo(column.zone))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _date(_: Type, column: Column, raw: Any) -> date:
    return _parsed(column, raw).date() if column.text_format else date.fromisoformat(_text(raw))


def _time(_: Type, column: Column, raw: Any) -> str:
    clock = _parsed(column, raw).time() if column.text_format else time.fromisoformat(_text(raw))
    if clock.tzinfo is not None:
        raise TypeError(raw)
    return clock.isoformat("microseconds")


def _duration(_: Type, column: Column, raw: Any) -> int:
    match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        seconds = EXACT.create_decimal(number_of(raw, column, always=True))
        if seconds and seconds.adjusted() > WIDEST:
            raise OverflowError(raw)
        micros = int(EXACT.multiply(seconds, Decimal(10**6)))
    else:
        sign, weeks, days, hours, minutes, whole, fraction = match.groups(default="")
        parts = ((weeks, 604_800), (days, 86_400), (hours, 3_600), (minutes, 60), (whole, 1))
        micros = sum(int(digits or 0) * length for digits, length in parts) * 10**6
        micros += int(fraction.ljust(6, "0")[:6])
        micros = -micros if sign == "-" else micros
    if abs(micros) > 2**63 - 2:
        raise OverflowError(raw)
    return micros


def _binary(_: Type, column: Column, raw: Any) -> bytes:
    text = _text(raw)
    return bytes.fromhex(text) if column.encoding == "hex" else base64.b64decode(text, validate=True)


def _enum(kind: Type, _: Column, raw: Any) -> str:
    if raw not in kind.values:
        raise ValueError(raw)
    return str(raw)


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(raw)
    return raw


def _is_spelt_out(column: Column, raw: Any) -> bool:
    """Whether the value is no text, in a column that takes every value."""
    return column.from_any and not isinstance(raw, str)


def canonical(value: Any) -> str:
    """A value of JSON with its keys in order, without blanks, each number by its value."""
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int() | Decimal():
            return _spelt(EXACT.create_decimal(value))
        case list():
            return f"[{','.join(map(canonical, value))}]"
        case dict():
            return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    raise TypeError(value)


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def is_canonical(text: str) -> bool:
    """Whether it is JSON as it is stored."""
    if _ESCAPED_NUL.search(text):
        return False  # PostgreSQL has no place for it
    try:
        return canonical(json.loads(text, parse_float=Decimal, parse_int=Decimal)) == text
    except (ValueError, RecursionError, ArithmeticError, TypeError):
        return False


_FILLED, _LEADING_ZEROS = 20, 6
"""Zeros of a canonical number that are written out, behind its digits and before them."""


def _spelt(number: Decimal) -> str:
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    whole = text.rstrip("0")
    power = int(exponent) + len(text) - len(whole)
    point = len(whole) + power
    if not whole:
        return "0"
    if power > _FILLED or point <= -_LEADING_ZEROS:
        body = f"{whole[0]}{'.' * (len(whole) > 1)}{whole[1:]}e{point - 1}"
    elif power >= 0:
        body = whole + "0" * power
    else:
        body = f"{whole[:point]}.{whole[point:]}" if point > 0 else f"0.{'0' * -point}{whole}"
    return f"-{body}" if sign else body


_READ: dict[str, Callable[[Type, Column, Any], Any]] = {
    **dict.fromkeys(WHOLE_BITS, _whole),
    **dict.fromkeys(FLOATS, _float),
    "string": lambda _kind, column, raw: canonical(raw) if _is_spelt_out(column, raw) else _text(raw),
    "decimal": _decimal,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "time": _time,
    "duration": _duration,
    "uuid": lambda _kind, _column, raw: str(UUID(_text(raw))),
    "binary": _binary,
    "json": lambda _kind, _column, raw: canonical(raw),
    "enum": _enum,
}

_OPTIONS = (
    "from_any",
    "trim",
    "empty_as_null",
    "nulls",
    "from_text",
    "decimal_comma",
    "true_words",
    "false_words",
    "zone",
    "format",
)
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "float64": _double,
    "timestamp": moment_of,
    "date": date.fromisoformat,
}

UNREADABLE = (TypeError, ValueError, OverflowError, InvalidOperation)
"""What `read` raises."""
