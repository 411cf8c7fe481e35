"""Parsed rows, until the whole batch is parsed: in memory while they are few, else on disk."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import polars as pl
import pyarrow as pa

HELD_BYTES = 64 * 2**20
"""Rows of a batch that are held: as large as the row group in whose place they are in memory."""


class StoredRows(Protocol):
    """Rows that can be read as often as needed, in pieces."""

    def pieces(self) -> Iterator[pa.RecordBatch]: ...

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows. Nothing else is read."""
        ...


class HeldRows:
    """In memory."""

    def __init__(self, schema: pa.Schema, pieces: Sequence[pa.RecordBatch]) -> None:
        self._schema = schema
        self._pieces = pieces

    def pieces(self) -> Iterator[pa.RecordBatch]:
        return iter(self._pieces)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return pa.Table.from_batches(list(self._pieces), self._schema).select(list(names))


class RowsFile:
    """In a file. It is not mapped: mapped pages count as the process's. Memory is a piece, or the named columns."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pieces(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._file), "rb") as source:
            stored = pa.ipc.open_file(source)
            for number in range(stored.num_record_batches):
                yield stored.get_batch(number)

    def columns(self, names: Sequence[str]) -> pa.Table:
        with pa.OSFile(str(self._file), "rb") as source:
            schema = pa.ipc.open_file(source).schema
            options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])
            return pa.ipc.open_file(source, options=options).read_all().select(list(names))


class RowBuffer:
    """Takes rows until it is left. Above `held_bytes` all of them are in the file; with 0 they are there at once."""

    def __init__(self, file: Path, schema: pa.Schema, held_bytes: int = 0) -> None:
        self._file = file
        self._schema = schema
        self._left_bytes = held_bytes
        self._held: list[pa.RecordBatch] = []
        self._opened = ExitStack()
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def __enter__(self) -> Self:
        if not self._left_bytes:
            self._spill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def add(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        if self._writer is not None:
            self._writer.write_batch(rows)
            return
        self._held.append(rows)
        self._left_bytes -= rows.get_total_buffer_size()
        if self._left_bytes < 0:
            self._spill()

    @property
    def rows(self) -> StoredRows:
        """All that was added. Not before the store is left."""
        return HeldRows(self._schema, self._held) if self._writer is None else RowsFile(self._file)

    def _spill(self) -> None:
        sink = self._opened.enter_context(pa.OSFile(str(self._file), "wb"))
        self._writer = self._opened.enter_context(pa.ipc.new_file(sink, self._schema))
        for rows in self._held:
            self._writer.write_batch(rows)
        self._held = []


def kept_pieces(rows: StoredRows, kept: pl.Series) -> Iterator[pa.Table]:
    """The stored rows whose flag in `kept` is set, a stored piece at a time."""
    all_kept = bool(kept.all())
    start = 0
    for piece in rows.pieces():
        table = pa.Table.from_batches([piece])
        flags = kept.slice(start, table.num_rows)
        start += table.num_rows
        yield table if all_kept else table.filter(flags.to_arrow())
