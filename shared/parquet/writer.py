"""The one writer of Parquet files: rows come in pieces, row groups go out."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.parquet.columns import align


@dataclass(frozen=True, slots=True)
class RowGroupLimits:
    """A row group ends at whichever comes first. Its reader and its writer have one in memory."""

    rows: int
    size_bytes: int


class RowGroupWriter:
    """Writes pieces of rows as one file of the schema. The same rows and options give the same bytes.

    Memory is one row group, in Arrow and encoded. Calls block: use it in a thread.
    """

    def __init__(
        self,
        file: Path,
        schema: pa.Schema,
        limits: RowGroupLimits,
        options: Callable[[pa.Table], Mapping[str, Any]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """`options` are those of `pyarrow.parquet.ParquetWriter`; they are chosen by the first row group.

        `metadata` stands in the footer.
        """
        self._file = file
        self._schema = schema
        self._limits = limits
        self._options = options
        self._metadata = metadata
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._size_bytes = 0
        self._rows_written = 0

    def append(self, piece: pa.RecordBatch | pa.Table) -> None:
        """Add rows. A column of the schema that the piece lacks is null in it."""
        table = align(piece, self._schema)
        start = 0
        while start < table.num_rows:
            part = table.slice(start, self._limits.rows - self._rows)
            start += part.num_rows
            self._waiting.append(part)
            self._rows, self._size_bytes = self._rows + part.num_rows, self._size_bytes + part.nbytes
            if self._rows == self._limits.rows or self._size_bytes >= self._limits.size_bytes:
                self.end_row_group()

    def end_row_group(self) -> None:
        """Write what waits as a row group of its own."""
        if self._rows:
            self._write(pa.concat_tables(self._waiting))
        self._waiting, self._rows, self._size_bytes = [], 0, 0

    def finish(self) -> int:
        """Write what is left and the footer. Returns the rows of the file."""
        self.end_row_group()
        if self._writer is None:
            self._write(self._schema.empty_table())
        if self._writer is not None and self._metadata:
            self._writer.add_key_value_metadata(dict(self._metadata))
        self._close()
        return self._rows_written

    def abandon(self) -> None:
        """Close a file that is not to be read. Harmless after `finish`."""
        with contextlib.suppress(OSError):
            self._close()

    def _write(self, group: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, self._schema, **self._options(group))
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._rows_written += group.num_rows

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
