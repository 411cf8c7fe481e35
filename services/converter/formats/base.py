"""What a format of exports is, and the rows that every one of them writes."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.values import as_hexadecimal
from shared.datasets.arrow import LINEAGE_FIELDS, data_schema, export_schema
from shared.datasets.exports import Exports
from shared.datasets.model import Dataset
from shared.parquet.columns import align
from shared.parquet.reader import PIECE_BYTES


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an export, in pieces that fit into memory."""

    schema: pa.Schema
    count: int
    pieces: Callable[[], Iterable[pa.Table]]
    """Every piece from the first on, each with the schema. May be called again."""

    def slices(self, rows: int) -> Iterator[pa.Table]:
        """The pieces, cut to at most `rows` rows, and to about `PIECE_BYTES` where their rows are wide."""
        for piece in self.pieces():
            at_once = max(1, min(rows, PIECE_BYTES * piece.num_rows // max(piece.nbytes, 1)))
            for start in range(0, piece.num_rows, at_once):
                yield piece.slice(start, at_once)


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How files of a format are written. The module of the format has one, named `FORMAT`."""

    extension: Callable[[Exports], str]
    """Of its files, without a dot in front."""
    write: Callable[[Rows, Exports, Path], None]
    """Writes the rows as the export file. Memory is one piece. The same rows and options give the same bytes.

    Raises `PermanentError` for a value that the format cannot hold.
    """
    is_text: bool = False
    """Whether bytes are written as text: in the encoding of their column."""
    max_rows: int | None = None
    """Of one file; None: no bound."""


class Layout:
    """How the columns of clean files are in the exports of a format."""

    def __init__(self, dataset: Dataset, export: ExportFormat, files: Iterable[pa.Schema] = ()) -> None:
        """`files`: schemas of clean files. Columns beyond the dataset's follow its own, as the last file has them."""
        more = _columns_beyond(dataset, files)
        self._stored = pa.schema([*data_schema(dataset), *more])
        self._exported = pa.schema([*export_schema(dataset), *more])
        self._hex = [column.name for column in dataset.columns if export.is_text and column.encoding == "hex"]
        self.schema = self.of(self._stored.empty_table()).schema

    def of(self, rows: pa.Table) -> pa.Table:
        """Rows of a clean file as an export has them."""
        rows = align(rows, self._stored)
        if self._exported != self._stored:
            rows = rows.cast(self._exported)
        for name in self._hex:
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, _hexadecimal(name, rows.column(place)))
        return rows


def _columns_beyond(dataset: Dataset, files: Iterable[pa.Schema]) -> "list[pa.Field[Any]]":
    known = {*data_schema(dataset).names, *(field.name for field in LINEAGE_FIELDS)}
    return list({field.name: field for file in files for field in file if field.name not in known}.values())


def clean_rows(clean: pq.ParquetFile, layout: Layout) -> Rows:
    """The rows of a clean file as an export has them, one row group at a time."""

    def pieces() -> Iterator[pa.Table]:
        for number in range(clean.num_row_groups):
            yield layout.of(clean.read_row_group(number))

    return Rows(layout.schema, clean.metadata.num_rows, pieces)


def _hexadecimal(name: str, column: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    return as_hexadecimal(pl.Series(name, pl.from_arrow(column))).to_arrow()


def os_error(error: Exception) -> Exception:
    """The system's error that a Rust writer tells in words, such as a full disk; without one `error` itself."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), str(error)) if found else error
