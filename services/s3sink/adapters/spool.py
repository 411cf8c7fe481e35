"""The rows of an object's batches as memory-mapped Arrow: taken in any order, without being all in memory."""

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from shared.parquet.columns import align
from shared.parquet.reader import PIECE_BYTES


class Spool:
    """Appended to first, then taken from. A context: its file is closed with it. Calls block: use it in a thread."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._writer: Any = pa.ipc.new_file(str(file), schema)
        self._source: Any = None
        self._pieces: Any = None
        self._starts: list[int] = []
        """The row at which each piece starts."""
        self._rows = 0
        self._row_bytes = 1
        """Of a row of the widest piece, on the average."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._pieces = None
        if self._source is not None:
            self._source.close()

    def append(self, rows: pa.RecordBatch) -> None:
        for piece in align(rows, self._schema).combine_chunks().to_batches():
            self._writer.write_batch(piece)
            self._starts.append(self._rows)
            self._rows += piece.num_rows
            self._row_bytes = max(self._row_bytes, piece.nbytes // max(piece.num_rows, 1))

    def rows_at_once(self, rows: int) -> int:
        """How many rows to take together: `rows`, or fewer of wide ones."""
        return max(1, min(rows, PIECE_BYTES // self._row_bytes))

    def take(self, rows: Any) -> pa.Table:
        """The rows of these numbers (int64), in their order. Memory is that of the rows."""
        if self._pieces is None:
            self._writer.close()
            self._source = pa.memory_map(str(self._file))
            self._pieces = pa.ipc.open_file(self._source)
        starts = pa.array(self._starts, pa.int64())
        of_piece = pc.subtract(pc.search_sorted(starts, rows, side="right").cast(pa.int64()), 1)  # type: ignore[attr-defined]
        order = pc.sort_indices(of_piece).cast(pa.int64())
        found = []
        for place in pc.unique(of_piece.take(order)).to_pylist():
            wanted = pc.subtract(rows.filter(pc.equal(of_piece, place)), self._starts[place])
            found.append(self._pieces.get_batch(place).take(wanted))
        return pa.Table.from_batches(found, self._schema).take(pc.inverse_permutation(order))  # type: ignore[attr-defined]
