"""What a raw line must become, in plain Python: written apart from the processor's own code."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from shared.datasets.column import Column
from shared.datasets.model import Dataset

Verdict = tuple[str, Any]
"""("row", values in the order of the file) or ("refused", reason)."""

_CALENDAR = re.compile(
    r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


class _RefusedError(Exception):
    pass


class _Number:
    """A JSON number as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def value(self) -> Decimal:
        """The exact value. An exponent beyond any bound is cut to one that is beyond every column's."""
        mantissa, _, exponent = self.text.lower().partition("e")
        power = max(-(10**6), min(10**6, Decimal(exponent or 0)))
        return Decimal(f"{mantissa}e{power}")


def verdict_of(line: bytes, dataset: Dataset) -> Verdict:
    try:
        record = _record(line)
        return "row", _row(record, dataset)
    except _RefusedError as refusal:
        return "refused", str(refusal)


def _row(record: dict[str, Any], dataset: Dataset) -> list[Any]:
    row = [_column(record, column, dataset) for column in dataset.columns]
    key = [value for value, column in zip(row, dataset.columns, strict=True) if column.name in dataset.key]
    if len("".join(value for value in key if isinstance(value, str)).encode()) > 2000:
        raise _RefusedError("too_large")
    return row


def _record(line: bytes) -> dict[str, Any]:
    if b"\0" in line:
        raise _RefusedError("nul")
    try:
        record = json.loads(
            line.decode("utf-8"), parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise _RefusedError("encoding") from None
    except ValueError:
        raise _RefusedError("decode") from None
    if record is None:
        raise _RefusedError("empty")
    if not isinstance(record, dict):
        raise _RefusedError("type")
    return record


def ignored_in(line: bytes, dataset: Dataset) -> int:
    """The number of values that no column names."""
    named = {column.path for column in dataset.columns}
    above = {path[:length] for path in named for length in range(1, len(path))}

    def count(record: dict[str, Any], path: tuple[str, ...]) -> int:
        total = 0
        for key, value in record.items():
            here = (*path, key)
            if here in above:
                total += count(value, here) if isinstance(value, dict) else 0
            elif here not in named:
                total += value is not None
        return total

    return count(json.loads(line), ())


def _column(record: Any, column: Column, dataset: Dataset) -> Any:
    value = record
    for key in column.path:
        if value is None:
            break
        if not isinstance(value, dict) and value != []:
            raise _RefusedError("type")
        value = value.get(key) if value else None
    if value is None:
        if column.name in dataset.key:
            raise _RefusedError("no_key")
        if column.fill is None:
            return None
        value = _Number(str(column.fill)) if type(column.fill) in {int, float} else column.fill
    return {
        "string": _text,
        "int64": lambda value: _int64(value, column.inexact == "round"),
        "float64": lambda value: _float64(value, column.inexact == "refuse"),
        "boolean": _boolean,
        "timestamp": _timestamp,
        "date": _date,
    }[column.type](value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _RefusedError("type")
    if "\0" in value:
        raise _RefusedError("nul")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise _RefusedError("encoding")
    return value


def _int64(value: Any, rounds: bool) -> int:
    if not isinstance(value, _Number):
        raise _RefusedError("type")
    whole = value.value.to_integral_value(ROUND_HALF_EVEN)
    if whole != value.value and not rounds:
        raise _RefusedError("type")
    if not -(2**63) <= whole < 2**63:
        raise _RefusedError("range")
    return int(whole)


def _float64(value: Any, refuses: bool) -> float:
    if not isinstance(value, _Number):
        raise _RefusedError("type")
    number = float(value.text)
    if number in {float("inf"), float("-inf")}:
        raise _RefusedError("range")
    if refuses and number.is_integer() and abs(number) >= 2**53:
        exact = value.value
        if exact == exact.to_integral_value() and exact != Decimal(number):
            raise _RefusedError("range")
    return number


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _RefusedError("type")
    return value


def _timestamp(value: Any) -> datetime:
    match = _CALENDAR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _RefusedError("type")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    offset = timedelta()
    if zone not in {None, "Z", "z"}:
        hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or 0)
        if hours > 23 or minutes > 59:
            raise _RefusedError("type")
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    if int(hour or 0) > 24 or int(minute or 0) > 59 or int(second or 0) > 60:
        raise _RefusedError("type")
    if hour == "24" and (int(minute), int(second or 0), int(fraction or 0)) != (0, 0, 0):
        raise _RefusedError("type")
    start = _day(year, month, day)
    microseconds = int((fraction or "").ljust(6, "0")[:6]) if second != "60" else 0
    try:
        return datetime(start.year, start.month, start.day, tzinfo=UTC) + (
            timedelta(
                hours=int(hour or 0),
                minutes=int(minute or 0),
                seconds=int(second or 0),
                microseconds=microseconds,
            )
            - offset
        )
    except OverflowError:
        raise _RefusedError("range") from None


def _date(value: Any) -> date:
    match = _CALENDAR.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[4] is not None:
        raise _RefusedError("type")
    return _day(match[1], match[2], match[3])


def _day(year: str, month: str, day: str) -> date:
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        raise _RefusedError("type")
    if len(year) != 4 or int(year) == 0:
        raise _RefusedError("range")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise _RefusedError("type") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)
