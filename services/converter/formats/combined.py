"""The batches of a run as files of a size that people ask for. The rows go in the order of the batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import ExportFormat, Layout, Rows
from shared.datasets.model import Dataset

ROOM = 0.95
"""Rows are not equally long: a file is planned for so much of its bound."""


@dataclass(frozen=True, slots=True)
class CleanFile:
    """The clean Parquet of a batch on this machine."""

    path: Path
    rows: int


@dataclass(frozen=True, slots=True)
class CombinedFile:
    path: Path
    rows: int


def write_files(
    export: ExportFormat, dataset: Dataset, batches: Sequence[CleanFile], folder: Path
) -> Iterator[CombinedFile]:
    """The files one by one: use each before the next, which may take its place. Without rows there is none.

    One that became longer than `max_bytes` is written again with fewer rows; a single row may be longer. The same batches
    and options give the same files. Memory is that of the format.
    """
    exports, layout = dataset.exports, Layout(dataset, export)
    total = sum(batch.rows for batch in batches)
    most = min(exports.max_rows or total, export.max_rows or total)
    planned = _first_guess(batches, exports.max_bytes, total)
    target = folder / f"combined.{export.extension(exports)}"
    first = 0
    while first < total:
        count = max(1, min(planned, most, total - first))
        export.write(rows_between(batches, layout, first, count), exports, target)
        size = target.stat().st_size
        planned = total if exports.max_bytes is None else int(count * exports.max_bytes / size * ROOM)
        if exports.max_bytes is not None and size > exports.max_bytes and count > 1:
            planned = min(planned, count - 1)
            continue
        yield CombinedFile(target, count)
        first += count


def _first_guess(batches: Sequence[CleanFile], max_bytes: int | None, total: int) -> int:
    if max_bytes is None or not total:
        return total
    stored = sum(batch.path.stat().st_size for batch in batches)
    return int(max_bytes * total / stored)


def rows_between(batches: Sequence[CleanFile], layout: Layout, first: int, count: int) -> Rows:
    """`count` rows from `first` on, counted over all batches."""

    def pieces() -> Iterator[pa.Table]:
        before, end = 0, first + count
        for batch in batches:
            if before < end and before + batch.rows > first:
                yield from _part(batch.path, layout, first - before, end - before)
            before += batch.rows

    return Rows(layout.schema, count, pieces)


def _part(path: Path, layout: Layout, first: int, end: int) -> Iterator[pa.Table]:
    """The file's rows from `first`, which may be negative, to `end`; only their row groups are read."""
    before = 0
    with pq.ParquetFile(path) as clean:
        for number in range(clean.num_row_groups):
            rows = clean.metadata.row_group(number).num_rows
            start, stop = max(first - before, 0), min(end - before, rows)
            if start < stop:
                yield layout.of(clean.read_row_group(number).slice(start, stop - start))
            before += rows
