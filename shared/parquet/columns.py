"""A dataset's columns in Parquet files: the one rule for those that a file lacks, and how they are best written."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.arrow import Array

SAMPLE_ROWS = 10_000
DICTIONARY_SHARE = 0.5
"""A column is written with a dictionary if at most this share of its first values is distinct."""


def align(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the schema's columns in its order. A column that they lack is null; others are left out.

    A column that has become wider has the same values in the wider type.
    """
    columns = [
        widened(rows.column(field.name), field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def widened(column: Array, kind: pa.DataType) -> Array:
    """The values in a type that holds them all. Raises `pa.ArrowInvalid` for one that it cannot hold."""
    return column if column.type == kind else column.cast(kind)


def repetitive_columns(rows: pa.Table) -> list[str]:
    """The columns to write with a dictionary. Booleans, packed as they are, and lists and structs are never among them."""
    sample = rows.slice(0, SAMPLE_ROWS)
    return [
        field.name
        for field in rows.schema
        if not (pa.types.is_boolean(field.type) or pa.types.is_nested(field.type))
        and _is_repetitive(sample.column(field.name))
    ]


def _is_repetitive(sample: "pa.ChunkedArray[Any]") -> bool:
    """Where the first half alone has too many values, the other is not looked at."""
    most = DICTIONARY_SHARE * len(sample)
    half = sample.slice(0, int(most) + 1)
    return len(half) == 0 or (
        pc.count_distinct(half).as_py() <= most and pc.count_distinct(sample).as_py() <= most
    )


def leaf_paths(field: "pa.Field[Any]") -> list[str]:
    """The paths of a column's values in the file: one, or those of a list or struct."""
    return _leaves(field.name, field.type)


def _leaves(path: str, kind: pa.DataType) -> list[str]:
    if isinstance(kind, pa.StructType):
        return [leaf for inner in kind for leaf in _leaves(f"{path}.{inner.name}", inner.type)]
    if isinstance(kind, pa.ListType):
        return _leaves(f"{path}.list.element", kind.value_type)
    return [path]
