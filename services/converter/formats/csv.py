"""Exports as gzipped CSV, RFC 4180 in UTF-8. A text that a spreadsheet would run is escaped."""

import io
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from services.converter.formats.base import ExportFormat, row_groups
from shared.datasets.model import Dataset

FORMULA_START = r"^([=+\-@\t\r＝＋－＠])"  # noqa: RUF001 - spreadsheets take the full-width signs too
"""A spreadsheet runs a text that begins like this; an apostrophe before it makes it a text again."""

ESCAPED = "'${1}"

STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
DATE_FORMAT = "%Y-%m-%d"
LINE_END = "\r\n"

GZIP_LEVEL = 2
"""Of ISA-L's four (0 to 3)."""

SLICE_ROWS = 10_000
"""Rows turned into text at a time."""


def write(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    """One header, then every row."""
    with target.open("wb") as file, _gzip(file) as packed:
        header = True
        for group in row_groups(clean, dataset):
            for start in range(0, group.num_rows, SLICE_ROWS):
                packed.write(encode_csv(group.slice(start, SLICE_ROWS), header=header))
                header = False


def encode_csv(rows: pa.Table, *, header: bool) -> bytes:
    """The rows as text. Null is an empty field, an empty text is `""`."""
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    buffer = io.BytesIO()
    _escape_formulas(frame).write_csv(
        buffer,
        include_header=header,
        line_terminator=LINE_END,
        datetime_format=STAMP_FORMAT,
        date_format=DATE_FORMAT,
    )
    return buffer.getvalue()


def _escape_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    texts = frame.select(pl.col(pl.String))
    found = texts.select(pl.all().str.contains(FORMULA_START).any()).to_dicts()[0] if texts.width else {}
    # Most columns hold no such text, and to look is half of what it costs to write them anew.
    return frame.with_columns(
        pl.col(name).str.replace(FORMULA_START, ESCAPED)
        for name, has_formulas in found.items()
        if has_formulas
    )


def _gzip(file: BinaryIO) -> BinaryIO:
    """No name and no time in the header: they would make every file differ."""
    packed = igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)  # type: ignore[no-untyped-call]  # isal ships no types
    return cast("BinaryIO", packed)


FORMAT = ExportFormat("csv.gz", write)
