"""What a raw line must become, in plain Python: written apart from the processor's own code."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.datasets.model import Column, Dataset

Verdict = tuple[str, Any]
"""("row", values in the order of the file) or ("refused", reason)."""

_CALENDAR = re.compile(
    r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)


class _RefusedError(Exception):
    pass


class _Integer:
    """A JSON integer by its digits."""

    def __init__(self, digits: str) -> None:
        self.digits = digits


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
        record = json.loads(line.decode("utf-8"), parse_int=_Integer, parse_constant=_no_constant)
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
    """Values that no column is for."""
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
        if not isinstance(value, dict):
            raise _RefusedError("type")
        value = value.get(key)
    if value is None:
        if column.name in dataset.key:
            raise _RefusedError("no_key")
        if column.fill is None:
            return None
        value = _Integer(str(column.fill)) if type(column.fill) is int else column.fill
    return {
        "string": _text,
        "int64": _int64,
        "float64": _float64,
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


def _int64(value: Any) -> int:
    if not isinstance(value, _Integer):
        raise _RefusedError("type")
    if len(value.digits) > 20 or not -(2**63) <= int(value.digits) < 2**63:
        raise _RefusedError("range")
    return int(value.digits)


def _float64(value: Any) -> float:
    if isinstance(value, _Integer):
        number = float(value.digits)
        if number in {float("inf"), float("-inf")} or int(number) != int(value.digits):
            raise _RefusedError("range")
        return number
    if type(value) is not float:
        raise _RefusedError("type")
    if value in {float("inf"), float("-inf")}:
        raise _RefusedError("range")
    return value


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
    if zone not in {None, "Z"}:
        hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or 0)
        if hours > 23 or minutes > 59:
            raise _RefusedError("type")
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
        raise _RefusedError("type")
    start = _day(year, month, day)
    microseconds = int((fraction or "").ljust(6, "0")[:6])
    try:
        return (
            datetime(start.year, start.month, start.day, tzinfo=UTC)
            + timedelta(
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
