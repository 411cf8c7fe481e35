"""Rows between steps: Arrow files whose rows are in the order of their positions."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.transform import POSITION

PIECE_ROWS = 16_384


def position_field() -> "pa.Field[Any]":
    return pa.field(POSITION, pa.int64(), nullable=False)


def read_pieces(file: Path) -> Iterator[pa.RecordBatch]:
    """The rows as they are stored. The file is mapped: what was read of it stays in the system's cache."""
    with pa.memory_map(str(file)) as source:
        stored = pa.ipc.open_file(source)
        for number in range(stored.num_record_batches):
            yield stored.get_batch(number)


def schema_of(file: Path) -> pa.Schema:
    with pa.OSFile(str(file), "rb") as source:
        return pa.ipc.open_file(source).schema


def read_positions(file: Path) -> "pa.ChunkedArray[Any]":
    """Of every row. Of the file their pages are mapped, and no others are touched."""
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all().column(POSITION)


def write_pieces(file: Path, schema: pa.Schema, pieces: Iterable[pa.RecordBatch]) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for piece in pieces:
            writer.write_batch(piece)


def is_sorted(positions: "pa.ChunkedArray[Any]") -> bool:
    """Whether no position is before the one above it. A null is not in order."""
    if positions.null_count:
        return False
    if len(positions) <= 1:
        return True
    steps = pc.subtract(positions.slice(1), positions.slice(0, len(positions) - 1))
    return bool(pc.min(steps).as_py() >= 0)
