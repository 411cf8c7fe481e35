"""How the rows of a dataset are best written as an object of the lake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from shared.datasets.arrow import lake_schema
from shared.datasets.model import Dataset
from shared.parquet.writer import RowGroupLimits, RowGroupWriter

ROW_GROUP_BYTES = 64 * 2**20

READ_ROWS = 8_192
"""Rows decoded at a time."""

ZSTD_LEVEL = 2
"""On text a tenth smaller than level 1 at the same speed; level 3 is slower and gains nothing more."""

GZIP_LEVEL = 6

BLOOM_FALSE_POSITIVES = 0.01


def open_lake_file(
    file: Path, dataset: Dataset, about: Mapping[str, str], schema: pa.Schema | None = None
) -> RowGroupWriter:
    """A writer of the schema; None: of the dataset's schema in the lake.

    `about` stands in the footer, its names behind `onpoint.`.
    """
    schema, lake = lake_schema(dataset) if schema is None else schema, dataset.lake
    # The position, and a key of one column, differ in every row: a dictionary would be the column once more.
    unique = {"_source_position"} | (set(dataset.key) if len(dataset.key) == 1 else set())
    levels = {"zstd": ZSTD_LEVEL, "gzip": GZIP_LEVEL, "snappy": None}

    def options(group: pa.Table) -> Mapping[str, Any]:
        bloom = {name: {"ndv": max(1, group.num_rows), "fpp": BLOOM_FALSE_POSITIVES} for name in lake.bloom}
        return {
            "compression": lake.codec,
            "compression_level": levels[lake.codec] if lake.level is None else lake.level,
            "use_dictionary": [name for name in schema.names if name not in unique],
            "column_encoding": {"_source_position": "DELTA_BINARY_PACKED"},
            "write_statistics": True,
            "write_page_index": True,
            "bloom_filter_options": bloom or None,
        }

    limits = RowGroupLimits(lake.row_group_rows, ROW_GROUP_BYTES)
    metadata = {f"onpoint.{name}": value for name, value in about.items()}
    return RowGroupWriter(file, schema, limits, options, metadata)
