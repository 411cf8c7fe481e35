"""Exports as Parquet: zstd, and for each column the encoding that its first values ask for."""

from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import ExportFormat, row_groups
from shared.datasets.model import Dataset
from shared.parquet.columns import repetitive_columns

ZSTD_LEVEL = 3


def write(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    """One row group of the export for each of the clean file."""
    groups = row_groups(clean, dataset)
    first = next(groups)
    dictionary, encodings = choose_encodings(first)
    with pq.ParquetWriter(
        target,
        first.schema,
        version="2.6",
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=dictionary,  # type: ignore[arg-type]  # the stubs miss the list
        column_encoding=encodings,
        write_statistics=True,
        store_schema=True,
    ) as writer:
        for group in chain((first,), groups):
            writer.write_table(group, row_group_size=group.num_rows)


def choose_encodings(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Columns to write with a dictionary, and the encodings of the others that have a better one than plain."""
    dictionary = repetitive_columns(rows)
    encodings: dict[str, str] = {}
    for field in rows.schema:
        if field.name in dictionary:
            continue
        if pa.types.is_string(field.type):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
        elif pa.types.is_integer(field.type) or pa.types.is_temporal(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encodings


FORMAT = ExportFormat("parquet", write)
