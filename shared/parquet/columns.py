"""A dataset's columns in Parquet files: the one rule for those that a file lacks, and how they are best written."""

import pyarrow as pa
import pyarrow.compute as pc

SAMPLE_ROWS = 10_000
DICTIONARY_SHARE = 0.5
"""A column is written with a dictionary if at most this share of its first values is distinct."""


def align(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the schema's columns in its order. A column that they lack is null; others are left out."""
    columns = [
        rows.column(field.name) if field.name in rows.schema.names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def repetitive_columns(rows: pa.Table) -> list[str]:
    """The columns to write with a dictionary. Booleans are never among them: they are packed as they are.

    Nor is what is nested: it cannot be compared, and its leaves would have to be named one by one.
    """
    sample = rows.slice(0, SAMPLE_ROWS)
    return [
        field.name
        for field in rows.schema
        if not pa.types.is_boolean(field.type)
        and not pa.types.is_nested(field.type)
        and pc.count_distinct(sample.column(field.name)).as_py() <= DICTIONARY_SHARE * sample.num_rows
    ]
