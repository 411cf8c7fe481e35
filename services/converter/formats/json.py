"""Exports as JSON: a record per line, or one array of all."""

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from services.converter.formats.base import ExportFormat, Rows
from services.converter.formats.text import compressed, slices, suffix
from services.converter.formats.values import as_json_values
from shared.datasets.exports import Exports


def extension(exports: Exports) -> str:
    return f"json{suffix(exports.json_.compression)}"


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """Every row as an object with all columns, null ones too."""
    options = exports.json_
    lines = (encode_lines(frame) for frame in slices(rows))
    with target.open("wb") as file, compressed(file, options.compression, options.level) as packed:
        for piece in lines if options.shape == "lines" else as_array(lines):
            packed.write(piece)


def encode_lines(frame: pl.DataFrame) -> bytes:
    """A record per line; each ends with a newline."""
    buffer = io.BytesIO()
    as_json_values(frame).write_ndjson(buffer)
    return buffer.getvalue()


def as_array(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same records as one array. A newline is never inside a record: JSON escapes it."""
    before = b"[\n"
    for piece in lines:
        yield before + piece[:-1].replace(b"\n", b",\n")
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[\n]\n"


FORMAT = ExportFormat(extension, write, is_text=True)
