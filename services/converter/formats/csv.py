"""Exports as gzipped CSV, RFC 4180 in UTF-8. A text that a spreadsheet would run is escaped."""

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from services.converter.formats.base import ExportFormat
from services.converter.formats.text import (
    DATE_FORMAT,
    STAMP_FORMAT,
    frame_of,
    gzip_writer,
    slices,
    with_texts,
)
from shared.datasets.model import Dataset

FORMULA_START = r"^([=+\-@\t\r＝＋－＠])"  # noqa: RUF001 - spreadsheets take the full-width signs too
"""A spreadsheet runs a text that begins like this; an apostrophe before it makes it a text again."""

ESCAPED = "'${1}"

LINE_END = "\r\n"


def write(clean: pq.ParquetFile, dataset: Dataset, target: Path) -> None:
    """One header, then every row."""
    with target.open("wb") as file, gzip_writer(file) as packed:
        for number, rows in enumerate(slices(clean, dataset)):
            packed.write(encode_csv(rows, dataset, header=number == 0))


def encode_csv(rows: pa.Table, dataset: Dataset, *, header: bool) -> bytes:
    """The rows as text. Null is an empty field, an empty text is `""`."""
    buffer = io.BytesIO()
    free_texts = [column.name for column in dataset.columns if column.value_type.name in {"string", "enum"}]
    _escape_formulas(frame_of(with_texts(rows, dataset)), free_texts).write_csv(
        buffer,
        include_header=header,
        line_terminator=LINE_END,
        datetime_format=STAMP_FORMAT,
        date_format=DATE_FORMAT,
    )
    return buffer.getvalue()


def _escape_formulas(frame: pl.DataFrame, free_texts: list[str]) -> pl.DataFrame:
    """Of texts that may be anything; what is written of other types begins no formula."""
    texts = frame.select(free_texts)
    found = texts.select(pl.all().str.contains(FORMULA_START).any()).to_dicts()[0] if texts.width else {}
    # Most columns hold no such text, and to look is half of what it costs to write them anew.
    return frame.with_columns(
        pl.col(name).str.replace(FORMULA_START, ESCAPED)
        for name, has_formulas in found.items()
        if has_formulas
    )


FORMAT = ExportFormat("csv.gz", write)
