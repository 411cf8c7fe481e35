"""Many clean Parquet files to one of the lake."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset

ROW_GROUP_ROWS = 100_000
ROW_GROUP_BYTES = 64 * 2**20
"""A row group ends at either: memory is one row group, in Arrow and encoded."""

READ_ROWS = 8_192
"""Rows decoded at a time."""

ZSTD_LEVEL = 2
"""On text a tenth smaller than level 1 at the same speed; level 3 is slower and gains nothing more."""


class LakeFile:
    """A Parquet file with the dataset's clean schema. Calls block: use it in a thread. Same input, same bytes."""

    def __init__(self, file: Path, dataset: Dataset) -> None:
        self._schema = clean_schema(dataset)
        self._pieces: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._rows_written = 0
        # The position, and a key of one column, differ in every row: a dictionary would be the column once more.
        unique = {"_source_position"} | (set(dataset.key) if len(dataset.key) == 1 else set())
        dictionaries: Any = [name for name in self._schema.names if name not in unique]
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=dictionaries,
            column_encoding={"_source_position": "DELTA_BINARY_PACKED"},
            write_statistics=True,
            write_page_index=True,
        )

    def finish(self) -> int:
        """Writes what is left and the footer. Returns the file's rows."""
        self._flush()
        self._writer.close()
        return self._rows_written

    def abandon(self) -> None:
        """Closes a file that nobody will read. Harmless after `finish`."""
        with contextlib.suppress(OSError):
            self._writer.close()

    def append(self, pieces: Iterable[pa.RecordBatch]) -> None:
        """A column that a piece lacks is null in it."""
        for piece in pieces:
            rest = self._conform(piece)
            while (room := ROW_GROUP_ROWS - self._rows) <= rest.num_rows:
                self._take(rest.slice(0, room))
                self._flush()
                rest = rest.slice(room)
            self._take(rest)
            if self._bytes >= ROW_GROUP_BYTES:
                self._flush()

    def _conform(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            piece.column(field.name)
            if field.name in piece.schema.names
            else pa.nulls(piece.num_rows, field.type)
            for field in self._schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _take(self, piece: pa.RecordBatch) -> None:
        self._pieces.append(piece)
        self._rows += piece.num_rows
        self._bytes += piece.nbytes

    def _flush(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._pieces, schema=self._schema)
            self._writer.write_table(table, row_group_size=self._rows)
            self._rows_written += self._rows
        self._pieces, self._rows, self._bytes = [], 0, 0
