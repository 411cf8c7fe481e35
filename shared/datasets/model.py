"""The model of a dataset file. Pure: no file, no driver."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from shared.datasets.exports import Exports
from shared.datasets.faults import FaultError
from shared.datasets.fields import HttpUrl, Model, Name, Number, RowCount, UrlPath, Whole, kind_name
from shared.datasets.lineage import RESERVED_COLUMNS
from shared.datasets.pagination import Pagination
from shared.datasets.paths import Path, format_path, parse_path
from shared.datasets.width import ROW_BYTES, full_row_bytes
from shared.events.names import Format, Severity

ColumnType = Literal["string", "int64", "float64", "boolean", "timestamp", "date"]

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Every table of PostgreSQL has them."""

RESERVED_DATASETS = frozenset({"exports", "cdc", "cancelled"})
"""Their folders in the buckets are used for other objects."""

COLUMNS_NAMED = 20
"""In a message; a dataset may have 1,500."""


class ApiSource(Model):
    name: Name
    """Sources of one name share a host, its limits, and the environment's replacements."""
    kind: Literal["api"]
    base_url: HttpUrl
    path: UrlPath | None = None
    pagination: Pagination
    records_path: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    """Keys that lead to the array of records in a page; empty: the page is the array."""
    requests_per_second: Annotated[Number, Field(ge=0, le=10_000)] = 10
    """0: no limit."""
    concurrency: Annotated[Whole, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def requests_need_a_path(self) -> Self:
        if self.pagination.needs_path and self.path is None:
            raise FaultError(
                f"path is missing: pagination of kind {self.pagination.kind} needs it, as in /orders"
            )
        return self


_INEXACT: dict[ColumnType, Literal["refuse", "round"]] = {"int64": "refuse", "float64": "round"}
"""What a column does with a number that it cannot hold as it is, unless its file has another rule."""


class Column(Model):
    name: Name
    type: ColumnType
    source_path: Annotated[str | None, Field(alias="from")] = None
    """Where the value is in the record: a path of keys (`shared.datasets.paths`). Absent: the column's name."""
    fill: str | int | float | bool | None = None
    """Replaces null. Absent: null stays null."""
    inexact: Literal["refuse", "round"] | None = None
    """What becomes of a number that the column cannot hold as it is: of a fraction in an int64, of an integer that no
    double is in a float64. Absent: an int64 refuses it, a float64 rounds it."""

    @field_validator("name")
    @classmethod
    def name_is_free(cls, value: str) -> str:
        if value in RESERVED_COLUMNS:
            raise FaultError(
                f"{value} is written by the pipeline itself: choose another name, and write `from: {value}`"
            )
        if value in SYSTEM_COLUMNS:
            raise FaultError(
                f"{value} is a column that PostgreSQL has in every table: choose another name, "
                f"and write `from: {value}`"
            )
        return value

    @property
    def path(self) -> Path:
        """The keys that lead to the value, from the outermost in."""
        return (self.name,) if self.source_path is None else parse_path(self.source_path)

    @field_validator("source_path")
    @classmethod
    def path_is_made_of_keys(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_path(value)
            except ValueError as error:
                raise FaultError(f"{value[:100]!r} is not a path of keys: {error}") from error
        return value

    @property
    def rounds(self) -> bool:
        """Whether a number that the column cannot hold as it is becomes the nearest that it can."""
        return (self.inexact or _INEXACT.get(self.type)) == "round"

    @model_validator(mode="after")
    def only_numbers_are_inexact(self) -> Self:
        if self.inexact is not None and self.type not in _INEXACT:
            raise FaultError(
                f"only for columns of type {' and '.join(_INEXACT)}, not for {self.type}", "inexact"
            )
        return self

    @model_validator(mode="after")
    def fill_is_of_the_column_type(self) -> Self:
        if self.fill is not None and not _can_hold(self.type, self.fill):
            expected = _FILL_EXPECTED[self.type]
            shown = json.dumps(self.fill)[:100]
            raise FaultError(
                f"{shown} cannot be in a column of type {self.type}: {expected} is expected", "fill"
            )
        return self


_FILL_EXPECTED: dict[ColumnType, str] = {
    "string": "a text",
    "int64": "a whole number of at most 64 bits",
    "float64": "a number",
    "boolean": "true or false",
    "timestamp": "a time in quotes, such as '2026-01-31T00:00:00Z',",
    "date": "a day in quotes, such as '2026-01-31',",
}


def _can_hold(column_type: ColumnType, fill: str | float | bool) -> bool:
    if isinstance(fill, bool) or column_type == "boolean":
        return isinstance(fill, bool) and column_type == "boolean"
    match column_type:
        case "string":
            return (
                isinstance(fill, str) and "\0" not in fill and fill.encode("utf-8", "ignore").decode() == fill
            )
        case "int64":
            return isinstance(fill, int) and -(2**63) <= fill < 2**63
        case "float64":
            return isinstance(fill, int | float) and abs(fill) <= _LARGEST_FLOAT
        case "timestamp":
            return isinstance(fill, str) and bool(_MOMENT.fullmatch(fill)) and _is_on_calendar(fill)
        case _:
            return isinstance(fill, str) and bool(_DAY.fullmatch(fill)) and _is_on_calendar(fill)


_LARGEST_FLOAT = 1.7976931348623157e308
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    _DAY.pattern + r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def _is_on_calendar(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class RowCountCheck(Model):
    kind: Literal["row_count"]
    min: RowCount | None = None
    max: RowCount | None = None
    severity: Severity = "error"

    @model_validator(mode="after")
    def bounds_leave_room(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise FaultError(f"min is {self.min} and max is {self.max}: no number of rows is between", "min")
        return self

    @property
    def used_columns(self) -> tuple[str, ...]:
        return ()


class NotNullCheck(Model):
    kind: Literal["not_null"]
    column: Name
    max: RowCount = 0
    """The number of nulls that are allowed."""
    severity: Severity = "error"

    @property
    def used_columns(self) -> tuple[str, ...]:
        return (self.column,)


class UniqueCheck(Model):
    kind: Literal["unique"]
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]
    severity: Severity = "error"

    @property
    def used_columns(self) -> tuple[str, ...]:
        return self.columns


Check = Annotated[RowCountCheck | NotNullCheck | UniqueCheck, Field(discriminator="kind")]

CHECK_KINDS: Final[tuple[str, ...]] = tuple(kind_name(check) for check in get_args(get_args(Check)[0]))
"""As a dataset file names them."""


class Dataset(Model):
    name: Name
    source: ApiSource
    table: Name
    key: Annotated[tuple[Name, ...], Field(min_length=1, max_length=32)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1500)]
    """1,600 is PostgreSQL's limit; five are the pipeline's own."""
    formats: tuple[Format, ...] = ("parquet",)
    exports: Exports = Exports()
    max_rejected_ratio: Annotated[Number, Field(ge=0, le=1)] = 0.01
    """Share of the crawled rows that may be rejected before the run is partial."""
    max_missing_ratio: Annotated[Number, Field(ge=0, le=1)] = 0
    """Share of the records that the source promised that may be missing before the run is partial."""
    checks: tuple[Check, ...] = ()
    schema_version: Annotated[Whole, Field(ge=1, le=2**31 - 1)] = 1

    @field_validator("name")
    @classmethod
    def name_is_free(cls, value: str) -> str:
        if value in RESERVED_DATASETS:
            raise FaultError(f"{value} is a folder of the pipeline itself: choose another name")
        return value

    @model_validator(mode="after")
    def names_are_unique_and_known(self) -> Self:
        names = [column.name for column in self.columns]
        if duplicates := _twice(names):
            name = duplicates[0]
            raise FaultError(
                f"{name} is named twice",
                "columns",
                _last(names, name),
                other=("columns", names.index(name)),
            )
        if duplicates := _twice(self.key):
            raise FaultError(f"named twice: {', '.join(duplicates)}", "key")
        known = set(names)
        if unknown := [name for name in self.key if name not in known]:
            raise FaultError(f"no such column: {', '.join(unknown)}; {_there_are(names)}", "key")
        for place, check in enumerate(self.checks):
            if unknown := [name for name in check.used_columns if name not in known]:
                reason = f"{check.kind}: no such column: {', '.join(unknown)}; {_there_are(names)}"
                raise FaultError(reason, "checks", place)
        return self

    @model_validator(mode="after")
    def paths_do_not_cross(self) -> Self:
        """`a` and `a.b` cannot both be columns: in one `a` is a value, in the other an object."""
        paths: dict[Path, int] = {}
        for place, column in enumerate(self.columns):
            if (other := paths.setdefault(column.path, place)) != place:
                reason = f"{column.name} and {self.columns[other].name} are taken from the same path"
                raise FaultError(f"two columns, {reason}: {format_path(column.path)}", "columns", place)
        for path, place in paths.items():
            for length in range(1, len(path)):
                if path[:length] in paths:
                    crossing = f"columns from {format_path(path[:length])} and {format_path(path)} cross"
                    raise FaultError(
                        f"{crossing}: what holds the second is an object, not a value", "columns", place
                    )
        return self

    @model_validator(mode="after")
    def a_row_can_be_stored(self) -> Self:
        needed = full_row_bytes([column.type for column in self.columns])
        if needed > ROW_BYTES:
            raise FaultError(
                f"a row with all {len(self.columns)} columns filled takes at least {needed:,} bytes, and a row of "
                f"PostgreSQL holds {ROW_BYTES:,}: name fewer columns, or make two datasets of it",
                "columns",
            )
        return self


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _last(names: list[str], name: str) -> int:
    return len(names) - 1 - names[::-1].index(name)


def _there_are(names: list[str]) -> str:
    more = len(names) - COLUMNS_NAMED
    return f"there are {', '.join(names[:COLUMNS_NAMED])}" + (f" and {more} more" if more > 0 else "")
