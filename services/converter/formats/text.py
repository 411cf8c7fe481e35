"""What formats of text have in common: their rows in slices, how times are written, gzip."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from services.converter.formats.base import row_groups
from shared.datasets.model import Dataset
from shared.datasets.written import texts_of

STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
DATE_FORMAT = "%Y-%m-%d"

_WRITTEN = frozenset({"duration", "binary", "list", "struct"})

GZIP_LEVEL = 2
"""Of ISA-L's four (0 to 3)."""

SLICE_ROWS = 10_000
"""Rows turned into text at a time."""


def slices(clean: pq.ParquetFile, dataset: Dataset) -> Iterator[pa.Table]:
    """The rows of an export, at most `SLICE_ROWS` at a time."""
    for group in row_groups(clean, dataset):
        for start in range(0, group.num_rows, SLICE_ROWS):
            yield group.slice(start, SLICE_ROWS)


def with_texts(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """The rows with texts in place of values that a format of text has no form for."""
    for place, column in enumerate(dataset.columns):
        if column.value_type.name in _WRITTEN:
            values = rows.column(place).combine_chunks()
            texts = texts_of(values, column.value_type, column.encoding or "base64")
            rows = rows.set_column(place, column.name, texts)
    return rows


def frame_of(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    return frame


def gzip_writer(file: BinaryIO) -> BinaryIO:
    """Compresses into `file`. No name and no time in the header: they would make every file differ."""
    packed = igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal ships no types
    return cast("BinaryIO", packed)
