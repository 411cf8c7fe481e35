"""The source's records as they must arrive: read with the standard library alone, by the rules of the dataset's file.

What is doubtful (`1.0` for an integer, an integer that no double is, a leap second) older versions refused and newer
ones take: both are right here, and what was taken must have its value.
"""

import json
import mmap
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from console.client.errors import InvalidRequestError
from console.verify.fitting import fits
from console.verify.stored import series_of
from console.verify.values import read, reader_of, without_null_texts
from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.naming import column_name
from shared.datasets.types import Type

MAX_KEY_BYTES = 2_000
"""Of a key's texts together: the most that an index entry may have."""
MAX_ROW_BYTES = 8_160
"""Of a row of PostgreSQL, its long texts outside."""
MAX_DEPTH = 64
_WIDEST_VALUE, _WIDEST_REST = 26, 600
"""Bytes of a row: any value with what aligns it, one that may be stored outside too, and the header with the product's
own columns."""


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
    if dataset.contract.new_columns == "reject" and (new := _new_field(dataset, record)) is not None:
        return f"no column is for its field {new}"
    for column in dataset.columns:
        try:
            value = _at(record, column.path, strict=True)
        except TypeError:
            return f"{column.name}: there is no object on the way to it"
        kind = column.value_type
        if without_null_texts(kind, column, value) is None:
            if column.name in dataset.key:
                return f"key column {column.name} has no value"
        elif not fits(kind, column, value):
            return f"{column.name} is not of type {column.type}"
    return None


def _new_field(dataset: Dataset, record: Mapping[str, Any]) -> str | None:
    """The first field at the top with a value that no column is for."""
    return next(_new_fields(dataset, record), None)


def _new_fields(dataset: Dataset, record: Mapping[str, Any]) -> Iterator[str]:
    known = {column.path[0] for column in dataset.read_columns}
    return (name for name, value in record.items() if value is not None and name not in known)


def lost_field(dataset: Dataset, newest: Dataset, record: Any) -> str | None:
    """A field of an accepted record that had to become a column, or to cost the row, and did neither.

    `newest`: with all columns by now. A field that was left out for want of room is not lost, nor is one whose name
    another column has.
    """
    contract = dataset.contract
    if contract.new_columns == "ignore" or not isinstance(record, dict):
        return None
    new = list(_new_fields(dataset, record))
    if contract.new_columns == "reject" or not new:
        return new[0] if new else None
    columns = {column.path[0] for column in newest.columns}
    taken = {column.name for column in (*newest.columns, *newest.inputs)}
    is_full = len(newest.added) >= contract.max_columns or len(newest.columns) >= _MAY_BE_FULL
    for name in new:
        column = column_name(name)
        if name in columns or (column is not None and column not in taken and not is_full):
            return name
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
            widest = sum(min(_WIDEST_VALUE, _widest(c.value_type)) for c in dataset.columns)
            return key_bytes > MAX_KEY_BYTES or widest + _WIDEST_REST > MAX_ROW_BYTES
        case "decode":
            return _is_deep(record)
        case _:
            return False


_MAY_BE_FULL = 400
"""Columns from which on a row may have no room for one more."""


def _widest(kind: Type) -> int:
    is_fixed = not kind.kind.is_moved and kind.name != "decimal"
    return kind.kind.size_bytes + kind.kind.alignment - 1 if is_fixed else _WIDEST_VALUE


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
    kind = column.value_type
    if not _is_read(kind.name, column, values):
        convert = reader_of(kind, column)
        values = [None if value is None else convert(value) for value in values]
    if column.fill is not None:
        given = Decimal(repr(column.fill)) if isinstance(column.fill, float) else column.fill
        fill = read(kind, column.of_fill, given)
        values = [fill if value is None else value for value in values]
    return series_of(column.name, kind, values)


def _is_read(name: str, column: Column, values: Sequence[Any]) -> bool:
    """Whether the values of JSON are those of the column: most are texts and integers, and there are many."""
    if (
        column.from_any
        or column.trim
        or column.empty_as_null
        or column.nulls
        or column.from_text
        or column.decimal_comma
    ):
        return False
    if name == "int64":
        return not any(isinstance(value, Decimal | bool | str) for value in values)
    return name in {"string", "boolean"} and not (column.true_words or column.false_words)


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


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
