"""How a dataset's columns are best written as Parquet."""

import pyarrow as pa
import pyarrow.compute as pc

SAMPLE_ROWS = 10_000
DICTIONARY_SHARE = 0.5
"""A column is written with a dictionary if at most this share of its first values is distinct."""


def repetitive_columns(rows: pa.Table) -> list[str]:
    """The columns to write with a dictionary. Booleans are never among them: they are packed as they are."""
    sample = rows.slice(0, SAMPLE_ROWS)
    return [
        field.name
        for field in rows.schema
        if not pa.types.is_boolean(field.type)
        and pc.count_distinct(sample.column(field.name)).as_py() <= DICTIONARY_SHARE * sample.num_rows
    ]
