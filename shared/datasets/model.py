"""What a dataset file may say. Pure: no file, no driver."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared.events.ids import DATASET_PATTERN
from shared.events.models import SUPPORTED_FORMATS, Format, Severity

Name = Annotated[str, StringConstraints(pattern=f"^{DATASET_PATTERN}$")]
"""Also bounds identifiers to PostgreSQL's 63 bytes, so that no name is cut in silence."""

ColumnType = Literal["string", "int64", "float64", "boolean", "timestamp", "date"]

RESERVED_COLUMNS = frozenset(
    {"_run_id", "_batch_id", "_requested_at", "_source_position", "etl_processed_at"}
)

_PATH_SEGMENT = re.compile(r"[^.\s\x00-\x1f]{1,128}")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _absolute_path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must start with /")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
UrlPath = Annotated[str, AfterValidator(_absolute_path)]


class PagePagination(_Model):
    kind: Literal["page"]
    page_param: str
    size_param: str
    size: Annotated[int, Field(ge=1, le=100_000)] = 100
    total_header: str | None = None
    """Response header that tells the number of records. Absent: pages are followed by `Link: …; rel="next"`."""


class IdListPagination(_Model):
    """One request lists the ids, then one request per item."""

    kind: Literal["ids"]
    list_path: UrlPath
    item_path: UrlPath
    """Holds `{id}`."""

    @field_validator("item_path")
    @classmethod
    def item_path_names_the_id(cls, value: str) -> str:
        if value.count("{id}") != 1:
            raise ValueError("must hold {id} exactly once")
        return value


class NoPagination(_Model):
    """One request answers everything."""

    kind: Literal["none"]


class ApiSource(_Model):
    name: Name
    """Sources of one name share a host, its limits, and the environment's replacements."""
    kind: Literal["api"]
    base_url: HttpUrl
    path: UrlPath | None = None
    pagination: Annotated[PagePagination | IdListPagination | NoPagination, Field(discriminator="kind")]
    records_path: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    """Keys that lead to the array of records in a page; empty: the page is the array."""
    requests_per_second: Annotated[float, Field(ge=0, le=10_000)] = 10
    """0: no limit."""
    concurrency: Annotated[int, Field(ge=1, le=100)] = 5

    @model_validator(mode="after")
    def pages_need_a_path(self) -> Self:
        if self.pagination.kind != "ids" and self.path is None:
            raise ValueError(f"path is required where pagination is of kind {self.pagination.kind}")
        return self


_INEXACT: dict[ColumnType, Literal["refuse", "round"]] = {"int64": "refuse", "float64": "round"}
"""What a column does with a number that it cannot hold as it is, unless its file says otherwise."""


class Column(_Model):
    name: Name
    type: ColumnType
    source_path: Annotated[str | None, Field(alias="from")] = None
    """Where the value is in the record: keys joined by dots. Absent: the column's name."""
    fill: str | int | float | bool | None = None
    """Replaces null. Absent: null stays null."""
    inexact: Literal["refuse", "round"] | None = None
    """What becomes of a number that the column cannot hold as it is: of a fraction in an int64, of an integer that no
    double is in a float64. Absent: an int64 refuses it, a float64 rounds it."""

    @field_validator("name")
    @classmethod
    def name_is_not_reserved(cls, value: str) -> str:
        if value in RESERVED_COLUMNS:
            raise ValueError(f"{value} is written by the pipeline itself")
        return value

    @property
    def path(self) -> tuple[str, ...]:
        return tuple((self.source_path or self.name).split("."))

    @model_validator(mode="after")
    def path_is_made_of_keys(self) -> Self:
        if not all(_PATH_SEGMENT.fullmatch(segment) for segment in self.path):
            raise ValueError(f"from: {self.source_path!r} is no path of keys joined by dots")
        return self

    @property
    def rounds(self) -> bool:
        """Whether a number that the column cannot hold as it is becomes the nearest that it can."""
        return (self.inexact or _INEXACT.get(self.type)) == "round"

    @model_validator(mode="after")
    def only_numbers_are_inexact(self) -> Self:
        if self.inexact is not None and self.type not in _INEXACT:
            raise ValueError(
                f"inexact: only for columns of type {' and '.join(_INEXACT)}, not for {self.type}"
            )
        return self

    @model_validator(mode="after")
    def fill_is_of_the_column_type(self) -> Self:
        expected: dict[str, tuple[type, ...]] = {
            "string": (str,),
            "int64": (int,),
            "float64": (int, float),
            "boolean": (bool,),
            "timestamp": (str,),
            "date": (str,),
        }
        if self.fill is not None:
            is_boolean = isinstance(self.fill, bool)
            if not isinstance(self.fill, expected[self.type]) or is_boolean != (self.type == "boolean"):
                raise ValueError(f"fill: {self.fill!r} is no {self.type}")
        return self


class RowCountCheck(_Model):
    kind: Literal["row_count"]
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    severity: Severity = "error"

    @property
    def used_columns(self) -> tuple[str, ...]:
        return ()


class NotNullCheck(_Model):
    kind: Literal["not_null"]
    column: Name
    max: Annotated[int, Field(ge=0)] = 0
    """So many nulls are allowed."""
    severity: Severity = "error"

    @property
    def used_columns(self) -> tuple[str, ...]:
        return (self.column,)


class UniqueCheck(_Model):
    kind: Literal["unique"]
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]
    severity: Severity = "error"

    @property
    def used_columns(self) -> tuple[str, ...]:
        return self.columns


Check = Annotated[RowCountCheck | NotNullCheck | UniqueCheck, Field(discriminator="kind")]


class Dataset(_Model):
    name: Name
    source: ApiSource
    table: Name
    key: Annotated[tuple[Name, ...], Field(min_length=1, max_length=32)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1500)]
    """1,600 is PostgreSQL's limit; five are the pipeline's own."""
    formats: tuple[Format, ...] = ("parquet",)
    max_rejected_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    checks: tuple[Check, ...] = ()
    schema_version: Annotated[int, Field(ge=1)] = 1

    @field_validator("formats")
    @classmethod
    def formats_are_written(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        if unsupported := [name for name in formats if name not in SUPPORTED_FORMATS]:
            raise ValueError(
                f"{', '.join(unsupported)}: not supported in this version; supported are {', '.join(SUPPORTED_FORMATS)}"
            )
        return formats

    @model_validator(mode="after")
    def names_are_unique_and_known(self) -> Self:
        names = [column.name for column in self.columns]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"columns named twice: {', '.join(duplicates)}")
        known = set(names)
        if unknown := [name for name in self.key if name not in known]:
            raise ValueError(f"key: no such column: {', '.join(unknown)}")
        for check in self.checks:
            if unknown := [name for name in check.used_columns if name not in known]:
                raise ValueError(f"checks: {check.kind}: no such column: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def paths_do_not_cross(self) -> Self:
        """`a` and `a.b` cannot both be columns: one says that `a` is a value, the other that it is an object."""
        paths = {column.path for column in self.columns}
        if len(paths) < len(self.columns):
            raise ValueError("two columns are taken from the same path")
        for path in paths:
            for length in range(1, len(path)):
                if path[:length] in paths:
                    raise ValueError(f"columns from {'.'.join(path[:length])} and {'.'.join(path)} cross")
        return self
