"""How the rows of a dataset are best written as an object of the lake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.parquet.writer import RowGroupLimits, RowGroupWriter

ROW_GROUPS = RowGroupLimits(rows=100_000, size_bytes=64 * 2**20)

READ_ROWS = 8_192
"""Rows decoded at a time."""

ZSTD_LEVEL = 2
"""On text a tenth smaller than level 1 at the same speed; level 3 is slower and gains nothing more."""


def open_lake_file(file: Path, dataset: Dataset, schema: pa.Schema | None = None) -> RowGroupWriter:
    """A writer of the schema; None: of the dataset's clean schema."""
    schema = clean_schema(dataset) if schema is None else schema
    # The position, and a key of one column, differ in every row: a dictionary would be the column once more.
    unique = {"_source_position"} | (set(dataset.key) if len(dataset.key) == 1 else set())

    def options(_: pa.Table) -> Mapping[str, Any]:
        return {
            "compression": "zstd",
            "compression_level": ZSTD_LEVEL,
            "use_dictionary": [name for name in schema.names if name not in unique],
            "column_encoding": {"_source_position": "DELTA_BINARY_PACKED"},
            "write_statistics": True,
            "write_page_index": True,
        }

    return RowGroupWriter(file, schema, ROW_GROUPS, options)
