"""The batches of a run as files of a size that people ask for. The rows go in the order of the batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import ExportFormat, Layout, Rows
from shared.datasets.exports import Exports

ROOM = 0.95
"""Rows are not equally long: a file is planned for so much of its bound."""


@dataclass(frozen=True, slots=True)
class CleanFile:
    """The clean Parquet of a batch."""

    rows: int
    bytes: int
    open: Callable[[], AbstractContextManager[Path]]
    """The file on this machine, while it is needed. May be called again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next file begins."""

    first: int = 0
    """Rows before it."""
    planned: int | None = None
    """The rows that it is tried with; None: as many as the batches' own size tells."""


@dataclass(frozen=True, slots=True)
class CombinedFile:
    rows: int
    next: Place


class Combination:
    """The batches as files, one by one. The same batches and options give the same files, wherever one begins.

    Memory is that of the format; of the batches one is on disk.
    """

    def __init__(
        self, export: ExportFormat, exports: Exports, layout: Layout, batches: Sequence[CleanFile]
    ) -> None:
        self._export = export
        self._exports = exports
        self._layout = layout
        self._batches = batches
        self.rows = sum(batch.rows for batch in batches)

    def write(self, place: Place, target: Path, check: Callable[[], None] = lambda: None) -> CombinedFile:
        """Writes the file that begins at `place`, which is before the last row.

        One that became longer than `max_bytes` is written again with fewer rows; a single row may be longer. `check` is
        called before every piece of rows, and may raise.
        """
        most = min(self._exports.max_rows or self.rows, self._export.max_rows or self.rows)
        bound, left = self._exports.max_bytes, self.rows - place.first
        planned = self._first_guess() if place.planned is None else place.planned
        while True:
            count = max(1, min(planned, most, left))
            self._export.write(self._between(place.first, count, check), self._exports, target)
            size = target.stat().st_size
            planned = self.rows if bound is None else int(count * bound / size * ROOM)
            if bound is None or size <= bound or count == 1:
                return CombinedFile(count, Place(place.first + count, planned))
            planned = min(planned, count - 1)

    def _first_guess(self) -> int:
        if self._exports.max_bytes is None:
            return self.rows
        stored = sum(batch.bytes for batch in self._batches)
        return int(self._exports.max_bytes * self.rows / max(1, stored))

    def _between(self, first: int, count: int, check: Callable[[], None]) -> Rows:
        """`count` rows from `first` on, counted over all batches."""

        def pieces() -> Iterator[pa.Table]:
            before, end = 0, first + count
            for batch in self._batches:
                if before < end and before + batch.rows > first:
                    with batch.open() as path:
                        for piece in _part(path, self._layout, first - before, end - before):
                            check()
                            yield piece
                before += batch.rows

        return Rows(self._layout.schema, count, pieces)


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
