"""What formats of text have in common: their rows in slices, and how the file is compressed."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import zstandard
from isal import igzip

from services.converter.formats.base import Rows
from shared.datasets.exports import TextCompression

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
"""Unless the dataset's file has another."""

SLICE_ROWS = 10_000
"""Rows turned into text at a time."""

_SUFFIXES: dict[TextCompression, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}


def suffix(compression: TextCompression) -> str:
    """What the compression adds to the extension."""
    return _SUFFIXES[compression]


def slices(rows: Rows) -> Iterator[pl.DataFrame]:
    """The rows of an export, at most `SLICE_ROWS` at a time."""
    for piece in rows.slices(SLICE_ROWS):
        yield frame_of(piece)


def frame_of(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    return frame


def compressed(file: BinaryIO, compression: TextCompression, level: int | None) -> BinaryIO:
    """Compresses into `file`. Close it; an uncompressed one is `file` itself."""
    match compression:
        case "gzip":
            return _gzip_writer(file, GZIP_LEVEL if level is None else level)
        case "zstd":
            packer = zstandard.ZstdCompressor(ZSTD_LEVEL if level is None else level)
            return cast("BinaryIO", packer.stream_writer(file, closefd=False))
        case "none":
            return file


def _gzip_writer(file: BinaryIO, level: int) -> BinaryIO:
    """No name and no time in the header: they would make every file differ."""
    packed = igzip.IGzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal ships no types
    return cast("BinaryIO", packed)
