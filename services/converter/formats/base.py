"""What a format of exports is, and the rows that every one of them writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.parquet.columns import align


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How files of a format are written. The module of the format has one, named `FORMAT`."""

    extension: str
    """Of its files, without a dot in front."""
    write: Callable[[pq.ParquetFile, Dataset, Path], None]
    """Writes the clean rows as the export file. Memory is one row group. The same rows give the same bytes."""


def row_groups(clean: pq.ParquetFile, dataset: Dataset) -> Iterator[pa.Table]:
    """The rows of a clean file as an export has them, one row group at a time."""
    for number in range(clean.num_row_groups):
        yield align(clean.read_row_group(number), data_schema(dataset))
