"""Exports as Parquet: zstd, and for each column the encoding that its first values ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import ExportFormat, row_groups
from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.parquet.columns import repetitive_columns
from shared.parquet.writer import RowGroupLimits, RowGroupWriter

ZSTD_LEVEL = 3

UNBOUNDED = RowGroupLimits(rows=2**31, size_bytes=2**40)
"""The clean file has decided where row groups end."""


def write(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    """One row group of the export for each of the clean file."""
    writer = RowGroupWriter(target, data_schema(dataset), UNBOUNDED, _options)
    try:
        for group in row_groups(clean, dataset):
            writer.append(group)
            writer.end_row_group()
        writer.finish()
    finally:
        writer.abandon()


def _options(first: pa.Table) -> Mapping[str, Any]:
    dictionary, encodings = choose_encodings(first)
    return {
        "version": "2.6",
        "compression": "zstd",
        "compression_level": ZSTD_LEVEL,
        "use_dictionary": dictionary,
        "column_encoding": encodings,
        "write_statistics": True,
        "store_schema": True,
    }


def choose_encodings(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Columns to write with a dictionary, and the encodings of the others that have a better one than plain."""
    dictionary = repetitive_columns(rows)
    encodings: dict[str, str] = {}
    for field in rows.schema:
        if field.name in dictionary or pa.types.is_nested(field.type):
            continue
        if pa.types.is_string(field.type):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
        elif pa.types.is_integer(field.type) or pa.types.is_temporal(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encodings


FORMAT = ExportFormat("parquet", write)
