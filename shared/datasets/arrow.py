"""A dataset's columns as Arrow schemas: what is parsed, and what travels as Parquet."""

from typing import Any

import pyarrow as pa

from shared.datasets.lineage import LINEAGE
from shared.datasets.model import Column, ColumnType, Dataset

ARROW_TYPE: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}

PARSED_TYPE: dict[ColumnType, pa.DataType] = {
    # JSON has no times: they are read as text and converted with a reason per row.
    **ARROW_TYPE,
    "timestamp": pa.string(),
    "date": pa.string(),
}

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


def clean_schema(dataset: Dataset) -> pa.Schema:
    """The columns of processed and lake files: the dataset's columns, then the lineage columns."""
    return pa.schema([*data_schema(dataset), *LINEAGE_FIELDS])


def _field(dataset: Dataset, column: Column) -> "pa.Field[Any]":
    return pa.field(column.name, ARROW_TYPE[column.type], nullable=column.name not in dataset.key)
