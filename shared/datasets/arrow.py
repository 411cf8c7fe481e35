"""A dataset's columns as Arrow schemas, as they travel in Parquet."""

from typing import Any, TypeAlias

import pyarrow as pa

from shared.datasets.column import Column
from shared.datasets.lineage import LINEAGE
from shared.datasets.model import Dataset
from shared.datasets.types import Type

Array: TypeAlias = Any
"""An array of Arrow. Its stubs know too few forms of the functions of `pyarrow.compute` to tell more."""


def arrow_type(kind: Type, *, durations: pa.DataType | None = None) -> pa.DataType:
    """How values of the type are stored; `durations` instead of their numbers."""
    if durations is not None and kind.name == "duration":
        return durations
    match kind.kind.arrow:
        case "decimal128":
            return pa.decimal128(kind.precision, kind.scale)
        case "timestamp":
            return pa.timestamp("us", tz="UTC")
        case "struct":
            return pa.struct(
                [pa.field(name, arrow_type(inner, durations=durations)) for name, inner in kind.fields]
            )
        case "list" if kind.item is not None:
            # The name that Parquet's rules give it, so that a file is read back as it was written.
            return pa.list_(pa.field("element", arrow_type(kind.item, durations=durations)))
        case name:
            found: pa.DataType = getattr(pa, name)()
            return found


_LINEAGE_TYPE: dict[str, pa.DataType] = {
    "text": pa.string(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bigint": pa.int64(),
}

LINEAGE_FIELDS = tuple(
    pa.field(column.name, _LINEAGE_TYPE[column.sql_type], nullable=False) for column in LINEAGE
)


def data_schema(dataset: Dataset) -> pa.Schema:
    """The dataset's own columns, in the file's order."""
    return pa.schema([_field(dataset, column) for column in dataset.columns])


def export_schema(dataset: Dataset) -> pa.Schema:
    """As `data_schema`, but durations tell that they are some."""
    fields = (
        pa.field(
            column.name,
            arrow_type(column.value_type, durations=pa.duration("us")),
            nullable=column.name not in dataset.key,
        )
        for column in dataset.columns
    )
    return pa.schema(list(fields))


def clean_schema(dataset: Dataset) -> pa.Schema:
    """The columns of processed and lake files: the dataset's columns, then the lineage columns."""
    return pa.schema([*data_schema(dataset), *LINEAGE_FIELDS])


def lake_schema(dataset: Dataset) -> pa.Schema:
    """As `clean_schema`; in a table format whole numbers are 64 bits wide, and fractions too.

    So a column that becomes wider is no change of the table, which neither format allows in the same way.
    """
    schema = clean_schema(dataset)
    if dataset.lake.table is None:
        return schema
    return pa.schema([field.with_type(_widest(field.type)) for field in schema])


def _widest(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_signed_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if isinstance(kind, pa.ListType):
        return pa.list_(kind.value_field.with_type(_widest(kind.value_type)))
    if isinstance(kind, pa.StructType):
        return pa.struct([field.with_type(_widest(field.type)) for field in kind])
    return kind


def _field(dataset: Dataset, column: Column) -> "pa.Field[Any]":
    return pa.field(column.name, arrow_type(column.value_type), nullable=column.name not in dataset.key)
