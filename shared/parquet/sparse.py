"""A Parquet object of which only some parts are here: its footer, and the columns that were asked for."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAGIC = b"PAR1"
TAIL_BYTES = len(MAGIC) + 4
"""Behind the footer: its length, and the magic."""

Range = tuple[int, int]
"""From a first byte to the byte behind the last."""


def footer_range(tail: bytes, size: int) -> Range:
    """Where the footer of an object of this size begins and the object ends, by its last bytes.

    Raises `pa.ArrowInvalid` for what is not the end of a Parquet file.
    """
    length = int.from_bytes(tail[-TAIL_BYTES : -len(MAGIC)], "little") + TAIL_BYTES
    if tail[-len(MAGIC) :] != MAGIC or length > size:
        raise pa.ArrowInvalid("it does not end as a Parquet file")
    return size - length, size


def chunk_range(chunk: pq.ColumnChunkMetaData) -> Range:
    """Where the pages of a column's row group are."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


def read_columns(
    metadata: pq.FileMetaData,
    size: int,
    group: int,
    columns: Sequence[str],
    parts: Sequence[tuple[int, bytes]],
) -> pa.Table:
    """Columns of a row group. `parts`: their chunks, each with its place in the object.

    Raises `pa.ArrowInvalid` or `OSError` where they cannot be decoded.
    """
    source: Any = _Parts(size, parts)
    with pq.ParquetFile(source, metadata=metadata, pre_buffer=False) as parquet:
        return parquet.read_row_group(group, columns=list(columns), use_threads=False)


class _Parts(io.RawIOBase):
    """Reads as the object does where a part is, and fails elsewhere."""

    def __init__(self, size: int, parts: Sequence[tuple[int, bytes]]) -> None:
        super().__init__()
        self._size = size
        self._parts = parts
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        size = self._size - self._at if size < 0 else size
        for start, part in self._parts:
            if start <= self._at and self._at + size <= start + len(part):
                self._at += size
                return part[self._at - size - start : self._at - start]
        raise OSError(f"bytes {self._at} to {self._at + size} were not fetched")
