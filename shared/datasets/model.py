"""The model of a dataset file. Pure: no file, no driver."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import Discriminator, Field, PrivateAttr, Tag, field_validator, model_validator

from shared.datasets.column import Column
from shared.datasets.contract import SchemaContract
from shared.datasets.expectation import Expectation
from shared.datasets.exports import Exports
from shared.datasets.faults import FaultError
from shared.datasets.fields import HttpUrl, Model, Name, Number, RowCount, UrlPath, Whole, kind_name
from shared.datasets.lake import Lake
from shared.datasets.lake_columns import check_lake_columns
from shared.datasets.pagination import Pagination
from shared.datasets.paths import Path, format_path
from shared.datasets.sources.api import RequestSource
from shared.datasets.transform import Steps
from shared.datasets.width import ROW_BYTES, full_row_bytes
from shared.events.names import Format, Severity

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


LISTED, WRITTEN = "form:listed", "form:written"
"""The two forms of a source, in the path of an error: no key of a file has a colon."""

_REQUEST_KEYS = frozenset(
    {
        "request",
        "job",
        "auth",
        "for_each",
        "incremental",
        "limits",
        "params",
        "records",
        "responses",
        "secrets",
    }
)


def source_form(value: Any) -> str:
    """A source whose file writes the request has a `request`; the older form has its `path` and names of parameters."""
    if isinstance(value, RequestSource):
        return WRITTEN
    return WRITTEN if isinstance(value, dict) and _REQUEST_KEYS & value.keys() else LISTED


Source = Annotated[
    Annotated[ApiSource, Tag(LISTED)] | Annotated[RequestSource, Tag(WRITTEN)],
    Discriminator(source_form),
]


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
    source: Source
    table: Name
    key: Annotated[tuple[Name, ...], Field(min_length=1, max_length=32)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1500)]
    """1,600 is PostgreSQL's limit; five are the pipeline's own."""
    inputs: Annotated[tuple[Column, ...], Field(max_length=1500)] = ()
    """What the transform reads of a record besides the columns, and no one stores."""
    transform: Steps = ()
    """Applied in order to the typed rows of a batch, before duplicates are dropped."""
    formats: tuple[Format, ...] = ("parquet",)
    exports: Exports = Exports()
    lake: Lake = Lake()
    max_rejected_ratio: Annotated[Number, Field(ge=0, le=1)] = 0.01
    """Share of the crawled rows that may be rejected before the run is partial."""
    max_missing_ratio: Annotated[Number, Field(ge=0, le=1)] = 0
    """Share of the records that the source promised that may be missing before the run is partial."""
    max_age_hours: Annotated[Number, Field(gt=0, le=87_600)] = 25
    """The age from which on the rows of the table are stale: since a run brought some."""
    expect: Expectation | None = None
    """How often a run has to deliver the dataset; None: whenever it is asked for."""
    checks: tuple[Check, ...] = ()
    contract: Annotated[SchemaContract, Field(alias="schema")] = SchemaContract()
    """What becomes of fields that no column is for."""
    schema_version: Annotated[Whole, Field(ge=1, le=2**31 - 1)] = 1
    _added: frozenset[str] = PrivateAttr(frozenset())

    @model_validator(mode="before")
    @classmethod
    def names_what_is_not_built(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if "deleted" in value:
                raise FaultError(
                    "`deleted` is not supported in this version: leave it out, and keep the field as a column",
                    "deleted",
                )
            source = value.get("source")
            if isinstance(source, dict) and source.get("kind") in ("web", "files"):
                raise FaultError(
                    f"sources of kind {source['kind']} are not supported in this version: only api is",
                    "source",
                    "kind",
                )
            if value.get("key") == [] and source_form(source) == WRITTEN:
                raise FaultError(
                    "a dataset without a key is not supported: add the column "
                    "{name: row_hash, type: string, from: $hash} and write key: [row_hash]",
                    "key",
                )
        return value

    @model_validator(mode="before")
    @classmethod
    def several_places_are_a_list(cls, value: Any) -> Any:
        """Of a source that writes its request, `from` may be a list."""
        columns = value.get("columns") if isinstance(value, dict) else None
        if not isinstance(columns, list) or source_form(value.get("source")) != WRITTEN:
            return value
        return {**value, "columns": [_with_places(column) for column in columns]}

    @field_validator("name")
    @classmethod
    def name_is_free(cls, value: str) -> str:
        if value in RESERVED_DATASETS:
            raise FaultError(f"{value} is a folder of the pipeline itself: choose another name")
        return value

    @property
    def lake_order(self) -> tuple[str, ...]:
        """The columns by which the rows of a lake object are sorted; (): they stay as they came."""
        return self.key if self.lake.sort_by is None else self.lake.sort_by

    @property
    def read_columns(self) -> tuple[Column, ...]:
        """What is read of a record: the columns that are not computed, then the inputs."""
        return (*(column for column in self.columns if not column.computed), *self.inputs)

    @property
    def added(self) -> frozenset[str]:
        """Columns that the file does not name."""
        return self._added

    def with_columns(self, own: Sequence[Column], added: Sequence[Column]) -> "Dataset":
        """With these columns instead, the last of which the file does not name."""
        changed = self.model_copy(update={"columns": (*own, *added)})
        changed._added = frozenset(column.name for column in added)  # noqa: SLF001 - of this class
        return changed

    def as_read(self) -> "Dataset":
        """The dataset of its records as they are typed, before a transform: the key is checked after it."""
        if not self.transform:
            return self
        update = {"columns": self.read_columns, "key": (), "transform": (), "lake": Lake()}
        return self.model_copy(update=update)

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
    def composed_columns_are_of_written_requests(self) -> Self:
        for place, column in enumerate(self.columns):
            if column.is_composed and not isinstance(self.source, RequestSource):
                raise FaultError(
                    "`const`, `join` and several places need a source with a `request`", "columns", place
                )
        return self

    @model_validator(mode="after")
    def only_a_transform_has_inputs(self) -> Self:
        for place, column in enumerate(self.columns):
            if column.computed and not self.transform:
                reason = f"{column.name} is computed, and there is no `transform`"
                raise FaultError(reason, "columns", place, "computed")
            if column.computed and (column.source_path is not None or column.fill is not None):
                reason = f"{column.name} is computed: it is not read of a record, and has neither `from` nor `fill`"
                raise FaultError(reason, "columns", place, "computed")
        if self.inputs and not self.transform:
            raise FaultError("there is no `transform` that reads them", "inputs")
        names = [column.name for column in self.read_columns]
        if duplicates := _twice(names):
            raise FaultError(f"{duplicates[0]} is read twice", "inputs")
        if not names:
            raise FaultError("every column is computed: nothing is read of a record", "columns")
        return self

    @model_validator(mode="after")
    def types_do_not_change_under_a_transform(self) -> Self:
        if self.transform and self.contract.types == "widen":
            reason = "widen cannot be together with a `transform`: its steps would meet values of other types"
            raise FaultError(reason, "schema", "types")
        return self

    @model_validator(mode="after")
    def paths_do_not_cross(self) -> Self:
        """`a` and `a.b` cannot both be read: in one `a` is a value, in the other an object."""
        read = [
            (column, (field, place))
            for field in ("columns", "inputs")
            for place, column in enumerate(getattr(self, field))
            if not column.computed
        ]
        paths: dict[Path, tuple[Column, tuple[str, int]]] = {}
        for column, at in read:
            other, _ = paths.setdefault(column.path, (column, at))
            if other is not column:
                reason = f"{column.name} and {other.name} are taken from the same path"
                raise FaultError(f"two columns, {reason}: {format_path(column.path)}", *at)
        for path, (_, at) in paths.items():
            for length in range(1, len(path)):
                if path[:length] in paths:
                    crossing = f"columns from {format_path(path[:length])} and {format_path(path)} cross"
                    raise FaultError(f"{crossing}: what holds the second is an object, not a value", *at)
        return self

    @model_validator(mode="after")
    def the_key_can_be_compared(self) -> Self:
        types = {column.name: column.value_type for column in self.columns}
        for place, name in enumerate(self.key):
            if not types[name].kind.is_key:
                raise FaultError(
                    f"{name} is of type {types[name]}, and no column of type {types[name].name} can be in a key",
                    "key",
                    place,
                )
        return self

    @model_validator(mode="after")
    def the_lake_s_columns_are_there(self) -> Self:
        if self.lake.table is not None and self.contract.types == "widen":
            reason = f"widen cannot be together with lake.table: a column of a table of {self.lake.table} keeps its type"
            raise FaultError(reason, "schema", "types")
        check_lake_columns(self.lake, {column.name: column.value_type for column in self.columns})
        return self

    @model_validator(mode="after")
    def a_row_can_be_stored(self) -> Self:
        needed = full_row_bytes([column.value_type for column in self.columns])
        if needed > ROW_BYTES:
            raise FaultError(
                f"a row with all {len(self.columns)} columns filled takes at least {needed:,} bytes, and a row of "
                f"PostgreSQL holds {ROW_BYTES:,}: name fewer columns, or make two datasets of it",
                "columns",
            )
        return self


def _with_places(column: Any) -> Any:
    if not isinstance(column, dict) or not isinstance(column.get("from"), list):
        return column
    return {**{name: part for name, part in column.items() if name != "from"}, "from_first": column["from"]}


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _last(names: list[str], name: str) -> int:
    return len(names) - 1 - names[::-1].index(name)


def _there_are(names: list[str]) -> str:
    more = len(names) - COLUMNS_NAMED
    return f"there are {', '.join(names[:COLUMNS_NAMED])}" + (f" and {more} more" if more > 0 else "")
