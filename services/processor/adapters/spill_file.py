"""Parsed rows on disk, until the whole batch is parsed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa


class SpillFile:
    """Rows in a file, so that memory stays flat. They are not mapped: mapped pages count as the process's."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._sink = pa.OSFile(str(file), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._sink.close()

    def add(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._writer.write_batch(rows)


def read_columns(rows: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of the stored rows. Nothing else is read."""
    with pa.OSFile(str(rows), "rb") as source:
        schema = pa.ipc.open_file(source).schema
        options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])
        return pa.ipc.open_file(source, options=options).read_all().select(list(names))


def read_kept(stored: pa.ipc.RecordBatchFileReader, kept: pl.Series) -> Iterator[pa.Table]:
    """The stored rows whose flag in `kept` is set, a stored piece at a time."""
    all_kept = bool(kept.all())
    start = 0
    for number in range(stored.num_record_batches):
        table = pa.Table.from_batches([stored.get_batch(number)])
        flags = kept.slice(start, table.num_rows)
        start += table.num_rows
        yield table if all_kept else table.filter(flags.to_arrow())
