"""Whether a row fits into a page of PostgreSQL: what it takes at least, once every text that can is moved out of it.

A row is one tuple on a page of 8 KiB. Its header is followed by the columns in their order, numbers and times at
multiples of their size. PostgreSQL moves texts that take more than 24 bytes out of the row as long as it is too large;
a pointer stays. The table is taken to have the columns of the file, in its order, and the pipeline's own after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.parse_schema import Target

MAX_ROW_BYTES = 8160

_HEADER_BYTES = 23
_POINTER_BYTES = 18
_INLINE_CHARS_BYTES = 23
"""A text of up to this many bytes takes one more, and is never moved."""

_FREE_LENGTH = frozenset({"string", "enum", "binary"})
"""Types whose values take their own length. Of any other the least that a value takes is counted."""

_COMPRESSIBLE_BYTES = 32
_COMPRESSED_BYTES = 11
"""From this many bytes on, PostgreSQL may keep a text compressed in the row. That takes a header and a match of that many
bytes together, and each byte that differs from those before it once more: less than a pointer only where a text has at
most six different ones."""

_LOOKED_AT_BYTES = 64

_OWN_TIMES_AND_POSITION_BYTES = 3 * 8
_OWN_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class WideRow:
    place: int
    bytes: int
    filled: int
    """Columns that are not null."""


class RowRoom:
    """The room that the rows of one batch need. Costs nothing where the columns' types cannot exceed a row."""

    def __init__(self, targets: Sequence[Target], run_id: str, batch_id: str) -> None:
        self._types = tuple(target.type for target in targets)
        self._own_texts = sum(_least_of(text.encode()) for text in (run_id, batch_id))
        self._can_exceed = (
            _header(len(targets), has_null=True)
            + sum(
                24 if kind.name in _FREE_LENGTH else kind.size_bytes + kind.kind.alignment - 1
                for kind in self._types
            )
            + self._own_texts
            + 7
            + _OWN_TIMES_AND_POSITION_BYTES
            > MAX_ROW_BYTES
        )

    def too_wide(self, rows: pa.RecordBatch) -> list[WideRow]:
        """The rows that do not fit. `rows` has the targets' columns first."""
        if not self._can_exceed or not rows.num_rows:
            return []
        columns = rows.columns[: len(self._types)]
        sizes, filled = self._sizes(columns)
        doubtful = pc.indices_nonzero(pc.greater(sizes, pa.scalar(MAX_ROW_BYTES, pa.int32())))
        if not len(doubtful):
            return []
        found = zip(
            doubtful.to_pylist(),
            sizes.take(doubtful).to_pylist(),
            filled.take(doubtful).to_pylist(),
            _saved(columns, doubtful),
            strict=True,
        )
        return [
            WideRow(place, _aligned(size - saved, 8), count)
            for place, size, count, saved in found
            if place is not None and size - saved > MAX_ROW_BYTES
        ]

    def _sizes(self, columns: "Sequence[pa.Array[Any]]") -> tuple[Any, Any]:
        """Bytes of each row, and how many of its columns are not null."""
        data: Any = pa.repeat(pa.scalar(0, pa.int32()), len(columns[0]))
        filled = data
        for column, kind in zip(columns, self._types, strict=True):
            if column.null_count == len(column):
                continue
            if kind.name in _FREE_LENGTH:
                grown = pc.add(data, _text_sizes(column))
            else:
                size = pa.scalar(kind.size_bytes, pa.int32())
                grown = pc.add(_aligned_all(data, kind.kind.alignment), size)
            is_filled = pc.is_valid(column)
            data = pc.if_else(is_filled, grown, data)
            filled = pc.add(filled, pc.cast(is_filled, pa.int32()))
        own = pa.scalar(self._own_texts, pa.int32())
        data = pc.add(
            _aligned_all(pc.add(data, own), 8), pa.scalar(_OWN_TIMES_AND_POSITION_BYTES, pa.int32())
        )
        headers = pc.if_else(
            pc.equal(filled, pa.scalar(len(columns), pa.int32())),
            pa.scalar(_header(len(columns), has_null=False), pa.int32()),
            pa.scalar(_header(len(columns), has_null=True), pa.int32()),
        )
        return pc.add(data, headers), filled


def _text_sizes(column: "pa.Array[Any]") -> Any:
    length = pc.call_function("binary_length", [column])
    return pc.if_else(
        pc.less_equal(length, pa.scalar(_INLINE_CHARS_BYTES, pa.int32())),
        pc.add(length, pa.scalar(1, pa.int32())),
        pa.scalar(_POINTER_BYTES, pa.int32()),
    )


def _saved(columns: "Sequence[pa.Array[Any]]", places: "pa.Array[Any]") -> list[int]:
    """Bytes of these rows that compression may spare beyond a pointer for each of their long texts."""
    saved = [0] * len(places)
    for column in columns:
        if not (
            pa.types.is_string(column.type) or pa.types.is_binary(column.type)
        ) or column.null_count == len(column):
            continue
        for row, text in enumerate(column.take(places).cast(pa.binary()).to_pylist()):
            if text is not None and len(text) >= _COMPRESSIBLE_BYTES:
                saved[row] += _POINTER_BYTES - _least_of(text)
    return saved


def _least_of(text: bytes) -> int:
    if len(text) <= _INLINE_CHARS_BYTES:
        return 1 + len(text)
    if len(text) < _COMPRESSIBLE_BYTES:
        return _POINTER_BYTES
    return min(_POINTER_BYTES, _COMPRESSED_BYTES + len(set(text[:_LOOKED_AT_BYTES])))


def _header(columns: int, *, has_null: bool) -> int:
    bitmap = (columns + _OWN_COLUMNS + 7) // 8 if has_null else 0
    return _aligned(_HEADER_BYTES + bitmap, 8)


def _aligned(size: int, to: int) -> int:
    return (size + to - 1) // to * to


def _aligned_all(sizes: Any, to: int) -> Any:
    return pc.bit_wise_and(pc.add(sizes, pa.scalar(to - 1, pa.int32())), pa.scalar(-to, pa.int32()))
