"""Writes a batch's export files. Memory is one row group; the same rows give the same bytes."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from services.converter.domain import choose_encodings, encode_csv, export_table
from shared.datasets.model import Dataset

ZSTD_LEVEL = 3
GZIP_LEVEL = 2
"""Of ISA-L's four (0 to 3)."""

CSV_SLICE_ROWS = 10_000
"""Rows turned into text at a time."""

Encode = Callable[[pq.ParquetFile, Dataset, Path], None]


def write_parquet(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    groups = _groups(clean, dataset)
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


def write_csv_gz(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    with target.open("wb") as file, _gzip(file) as packed:
        header = True
        for group in _groups(clean, dataset):
            for start in range(0, group.num_rows, CSV_SLICE_ROWS):
                packed.write(encode_csv(group.slice(start, CSV_SLICE_ROWS), header=header))
                header = False


def _gzip(file: BinaryIO) -> BinaryIO:
    """No name and no time in the header: they would make every file differ."""
    packed = igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal ships no types
    return cast("BinaryIO", packed)


def _groups(clean: pq.ParquetFile, dataset: Dataset) -> Iterator[pa.Table]:
    for number in range(clean.num_row_groups):
        yield export_table(clean.read_row_group(number), dataset)
