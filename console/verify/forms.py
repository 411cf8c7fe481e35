"""What the rows of a batch look like: the columns of the dataset's file as it was, and which of them can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from console.verify.findings import Findings
from console.verify.stored import DTYPES, dtype_of, made_wider, respelt, written_dtype_of
from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.type_spelling import type_of_postgres
from shared.datasets.types import NESTED, Type

LINEAGE = ("_run_id", "_batch_id", "_requested_at", "_source_position")
LINEAGE_TYPES: Mapping[str, Any] = {
    "_run_id": pl.String(),
    "_batch_id": pl.String(),
    "_requested_at": pl.Datetime("us", "UTC"),
    "_source_position": pl.Int64(),
}

RETYPED = "a column has another type now than in older runs, so its values of those are not compared"
TAKEN_AWAY = (
    "neither the table nor the dataset's file has the column any more, so its values are not compared"
)


@dataclass(frozen=True, slots=True)
class Form:
    """`compared`: the columns whose values must be the same wherever the row is."""

    dataset: Dataset
    compared: tuple[str, ...]
    is_certain: bool
    """False: no file of that time and no clean Parquet is left, so today's file stands for it."""

    @property
    def types(self) -> dict[str, Any]:
        return {column.name: dtype_of(column.value_type) for column in self.dataset.columns} | dict(
            LINEAGE_TYPES
        )

    @property
    def written_types(self) -> dict[str, Any]:
        """As they are in Parquet."""
        own = {column.name: written_dtype_of(column.value_type) for column in self.dataset.columns}
        if self.dataset.lake.table is not None:
            own = {name: _widest(dtype) for name, dtype in own.items()}
        return own | dict(LINEAGE_TYPES)

    @property
    def kinds(self) -> dict[str, Type]:
        return {column.name: column.value_type for column in self.dataset.columns}

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.dataset.columns]


def _widest(dtype: Any) -> Any:
    """As objects of a table format have it: numbers are 64 bits wide."""
    match dtype:
        case pl.List():
            return pl.List(_widest(dtype.inner))
        case pl.Struct():
            return pl.Struct({field.name: _widest(field.dtype) for field in dtype.fields})
    if dtype.is_signed_integer():
        return pl.Int64()
    return pl.Float64() if dtype.is_float() else dtype


@dataclass(slots=True)
class Forms:
    """Of the batches of one table."""

    table: str
    has: Mapping[str, str]
    """The table's columns with PostgreSQL's types; empty where the table is not there."""
    today: Mapping[str, Dataset]
    """By name."""
    findings: Findings
    columns: dict[str, Column] = field(default_factory=dict)
    """By which the table's values are read: the first file's that fits."""

    def of_file(self, dataset: Dataset, *, is_certain: bool = True) -> Form:
        """By a dataset's file."""
        return Form(dataset, self._compared(dataset), is_certain)

    def of_parquet(self, dataset: Dataset, schema: Mapping[str, Any], *, has_source: bool) -> Form:
        """By the columns that were written, where no file of that time is left.

        With a source, a column whose place in the records is no longer known is not compared.
        """
        known = {column.name: column for column in dataset.columns}
        columns, unsourced = [], set()
        for name, dtype in schema.items():
            if name in LINEAGE:
                continue
            column = known.get(name)
            if column is None or written_dtype_of(column.value_type) != dtype:
                column = Column(name=name, type=_type_of(dtype))
                unsourced.add(name)
            columns.append(column)
        found = dataset.model_copy(update={"columns": tuple(columns)})
        compared = self._compared(found)
        if has_source:
            compared = tuple(name for name in compared if name not in unsourced)
        return Form(found, compared, is_certain=True)

    def can_hold(self, form: Form, key: Sequence[str]) -> bool:
        """Whether rows of this form can be found in the table by its key."""
        return set(key) == set(form.dataset.key) and set(key) <= set(form.compared)

    def column(self, name: str) -> Column:
        """Of the table."""
        if name not in self.columns:
            found = type_of_postgres(self.has.get(name, "text"))
            self.columns[name] = Column(name=name, type=str(found or "string"))
        return self.columns[name]

    def _is_alike(self, column: Column) -> bool:
        """Whether its values are compared in the form of those of other files: a document may be any text or list."""
        known = self.columns.setdefault(column.name, column)
        kind = column.value_type
        return kind.name not in {*NESTED, "json"} or (kind, column.encoding) == (
            known.value_type,
            known.encoding,
        )

    def _compared(self, dataset: Dataset) -> tuple[str, ...]:
        found = []
        today = self.today.get(dataset.name)
        named = {column.name for column in today.columns} if today is not None else set()
        for column in dataset.columns:
            there = self.has.get(column.name)
            if not self.has:
                found.append(column.name)  # there is no table: the lake is checked all the same
            elif there is None:
                # A column that today's file names and the table lacks is a violation of the table's check.
                if column.name not in named:
                    self.findings.note(TAKEN_AWAY, f"{self.table}.{column.name}")
            elif column.value_type.postgres != there or not self._is_alike(column):
                self.findings.note(RETYPED, f"{self.table}.{column.name}")
            else:
                found.append(column.name)
        return tuple(found)


def _type_of(dtype: Any) -> str:
    """The type that is written so; a column of any other is compared with nothing, whatever it is called."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    return next((name for name, known in DTYPES.items() if known == dtype), "string")


def in_form(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """With the form's columns as they are compared; one that the rows lack is null, and a narrower one is made wider."""
    own = {column.name: dtype_of(column.value_type) for column in form.dataset.columns}
    if all(rows.schema.get(name) == dtype for name, dtype in own.items()):
        return rows
    columns = [
        pl.Series(name, [None], dtype).new_from_index(0, len(rows))
        if name not in rows.columns
        else made_wider(rows[name], dtype)
        for name, dtype in own.items()
    ]
    others = [rows[name] for name in rows.columns if name not in own]
    return pl.DataFrame([*columns, *others])


def digest(frame: pl.DataFrame, form: Form, floats: Sequence[tuple[str, str]] = ()) -> pl.Series:
    """A row's compared content as a number: equal rows have equal ones, in this process.

    `floats`: columns of texts that were floats of a type when the rows were read. A float has more than one short text.
    """
    types = form.types
    frame = frame.with_columns(
        [
            respelt(frame[name], kind)
            for name, kind in floats
            if name in frame.columns and name in form.compared
        ]
    )
    compared = [
        pl.col(name) if frame.schema[name] == types[name] else pl.col(name).cast(types[name])
        for name in form.compared
    ]
    return frame.select(*compared, *LINEAGE).hash_rows(seed=7).alias("_row")
