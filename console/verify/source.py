"""The source's records as they must arrive: read with the standard library alone, by the rules of the dataset's file.

What is doubtful (`1.0` for an integer, an integer that no double is, a leap second) older versions refused and newer
ones take: both are right here, and what was taken must have its value.
"""

import json
import mmap
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import polars as pl

from console.client.errors import InvalidRequestError
from shared.datasets.model import Column, ColumnType, Dataset

INT64_DIGITS = 19
MAX_KEY_BYTES = 2_000
"""Of a key's texts together: the most that an index entry may have."""
MAX_ROW_BYTES = 8_160
"""Of a row of PostgreSQL, its long texts outside."""
MAX_DEPTH = 64
_WIDEST_TEXT, _WIDEST_VALUE, _WIDEST_REST = 24, 15, 600
"""Bytes of a row: a text that may be stored outside, any other value, and the header with the product's own columns."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

DTYPES: dict[ColumnType, Any] = {
    "string": pl.String(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
}


_LEAP = re.compile(r"(.+[T ][0-9]{2}:[0-9]{2}):60(?:\.[0-9]+)?(Z|[+-][0-9:]+)?")
_MIDNIGHT = re.compile(r"(.+[T ])24(:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9:]+)?)")


class SourceRecords:
    """The records of a dataset, one JSON value per line, in the source's order. Memory is eight bytes per record."""

    def __init__(self, data: mmap.mmap | bytes, name: str = "the source") -> None:
        self.name = name
        self._data = data
        self._starts = array("Q", [0])
        place = 0
        while (end := self._data.find(b"\n", place)) >= 0:
            place = end + 1
            self._starts.append(place)
        if place < len(self._data):
            self._starts.append(len(self._data) + 1)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> bytes:
        line: bytes = self._data[self._starts[index] : self._starts[index + 1] - 1]
        return line


@contextmanager
def open_source(path: Path) -> Iterator[SourceRecords]:
    """Raises `InvalidRequestError` for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                yield SourceRecords(b"", path.name)
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield SourceRecords(data, path.name)
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error


def parse(line: bytes) -> Any:
    """A number with a point or an exponent is a `Decimal`. Raises `ValueError` for what is not JSON."""
    try:
        return json.loads(line, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def rows_of(dataset: Dataset, records: Sequence[Any]) -> pl.DataFrame:
    """The records as the dataset's columns. Raises `TypeError` or `ValueError` if one is not of its column's type."""
    return pl.DataFrame([_series(column, records) for column in dataset.columns])


def problem_of(dataset: Dataset, record: Any) -> str | None:
    """Why the record cannot become a row; None: it can, and must."""
    if not isinstance(record, dict):
        return "it is not an object"
    for column in dataset.columns:
        try:
            value = _at(record, column.path, strict=True)
        except TypeError:
            return f"{column.name}: there is no object on the way to it"
        if value is None:
            if column.name in dataset.key:
                return f"key column {column.name} has no value"
        elif not _FITS[column.type](value):
            return f"{column.name} is not of type {column.type}"
    return None


def is_beyond(dataset: Dataset, record: Any, reason: str) -> bool:
    """Whether a record that could become a row exceeds a bound of the pipeline or of PostgreSQL that has this reason.

    How much room a row takes is not measured: a row of a table that can be too wide may have been.
    """
    match reason:
        case "too_large":
            keys = [
                _at(record, column.path, strict=False)
                for column in dataset.columns
                if column.name in dataset.key
            ]
            key_bytes = sum(len(value.encode()) for value in keys if isinstance(value, str))
            widest = sum(_WIDEST_TEXT if c.type == "string" else _WIDEST_VALUE for c in dataset.columns)
            return key_bytes > MAX_KEY_BYTES or widest + _WIDEST_REST > MAX_ROW_BYTES
        case "decode":
            return _is_deep(record)
        case _:
            return False


def _is_deep(value: Any) -> bool:
    """Whether it nests deeper than any source needs."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(value, dict | list) for value in level)


def _series(column: Column, records: Sequence[Any]) -> pl.Series:
    path = column.path
    if len(path) == 1:
        key = path[0]
        values = [record.get(key) for record in records]
    else:
        values = [_at(record, path, strict=False) for record in records]
    convert = _CONVERT.get(column.type)
    if column.type == "int64" and any(isinstance(value, Decimal | bool) for value in values):
        rounds = getattr(column, "rounds", False)
        values = [value if value is None else _whole(value, rounds=rounds) for value in values]
    if convert is not None:
        values = [None if value is None else convert(value) for value in values]
    if column.fill is not None:
        fill = convert(column.fill) if convert is not None else column.fill
        values = [fill if value is None else value for value in values]
    return pl.Series(column.name, values, DTYPES[column.type], strict=True)


def _at(record: Any, path: Sequence[str], *, strict: bool) -> Any:
    value = record
    for key in path:
        if not isinstance(value, dict):
            if strict:
                raise TypeError(key)
            return None
        value = value.get(key)
        if value is None:
            return None
    return value


def _double(value: Any) -> float:
    """The nearest; raises `TypeError` for what is not a number."""
    if isinstance(value, str | bool):
        raise TypeError(value)
    return float(value)


def _whole(value: Any, *, rounds: bool) -> int:
    """Raises `TypeError` for a fraction and for no number, `OverflowError` for what is far beyond 64 bits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, Decimal):
        raise TypeError(value)
    if value.adjusted() > INT64_DIGITS:
        raise OverflowError(value)
    nearest = value.to_integral_value(ROUND_HALF_EVEN)
    if nearest != value and not rounds:
        raise TypeError(value)
    return int(nearest)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _any_moment(text: str) -> datetime:
    """Also with `t` and `z`; a second 60 is the next minute's first instant, 24:00 the next day's."""
    text = text.upper()
    if (leap := _LEAP.fullmatch(text)) is not None:
        return _moment(f"{leap[1]}:59{leap[2] or ''}") + timedelta(seconds=1)
    if (midnight := _MIDNIGHT.fullmatch(text)) is not None:
        return _moment(f"{midnight[1]}00{midnight[2]}") + timedelta(days=1)
    return _moment(text)


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX


def _is_number(value: Any) -> bool:
    if isinstance(value, Decimal):
        return abs(float(value)) != float("inf")
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    try:
        return float(value) == value and abs(float(value)) != float("inf")
    except OverflowError:
        return False


def _reads(convert: Callable[[str], object]) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        try:
            convert(value)
        except (ValueError, OverflowError, TypeError):
            return False
        return isinstance(value, str)

    return fits


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_CONVERT: dict[ColumnType, Callable[[Any], Any]] = {
    "float64": _double,
    "timestamp": _any_moment,
    "date": date.fromisoformat,
}
_FITS: dict[ColumnType, Callable[[Any], bool]] = {
    "string": _is_text,
    "int64": _is_integer,
    "float64": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "timestamp": _reads(_moment),
    "date": _reads(date.fromisoformat),
}
