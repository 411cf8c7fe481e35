"""What a format of exports is, and the rows that every one of them writes."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.arrow import data_schema, export_schema
from shared.datasets.exports import Exports
from shared.datasets.model import Dataset
from shared.parquet.columns import align


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an export, in pieces that fit into memory."""

    schema: pa.Schema
    count: int
    pieces: Callable[[], Iterable[pa.Table]]
    """Every piece from the first on, each with the schema. May be called again."""

    def slices(self, rows: int) -> Iterator[pa.Table]:
        """The pieces, cut to at most `rows` rows."""
        for piece in self.pieces():
            for start in range(0, piece.num_rows, rows):
                yield piece.slice(start, rows)


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How files of a format are written. The module of the format has one, named `FORMAT`."""

    extension: Callable[[Exports], str]
    """Of its files, without a dot in front."""
    write: Callable[[Rows, Exports, Path], None]
    """Writes the rows as the export file. Memory is one piece. The same rows and options give the same bytes.

    Raises `PermanentError` for a value that the format cannot hold.
    """
    max_rows: int | None = None
    """Of one file; None: no bound."""


def clean_rows(clean: pq.ParquetFile, dataset: Dataset) -> Rows:
    """The rows of a clean file as an export has them, one row group at a time."""
    stored, exported = data_schema(dataset), export_schema(dataset)

    def pieces() -> Iterator[pa.Table]:
        for number in range(clean.num_row_groups):
            rows = align(clean.read_row_group(number), stored)
            yield rows if stored == exported else rows.cast(exported)

    return Rows(exported, clean.metadata.num_rows, pieces)


def os_error(error: Exception) -> Exception:
    """The system's error that a Rust writer tells in words, such as a full disk; without one `error` itself."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), str(error)) if found else error
