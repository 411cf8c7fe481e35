"""Exports as CSV, RFC 4180 in UTF-8. A text that a spreadsheet would run is escaped."""

import codecs
import io
from pathlib import Path

import polars as pl
from polars._typing import CsvQuoteStyle

from services.converter.formats.base import ExportFormat, Rows
from services.converter.formats.text import compressed, frame_of, slices, suffix
from services.converter.formats.values import TIME_FORMAT, as_cell_texts
from shared.datasets.exports import CsvOptions, Exports

FORMULA_START = r"^([\s\x00-\x1f\u200b\ufeff]*[=+\-@＝＋－＠]|[\t\r\n])"  # noqa: RUF001 - spreadsheets take the full-width signs too
"""A spreadsheet runs a text that begins like this; an apostrophe before it makes it a text again.

Some trim what is blank in front. A tab or a line's end in front moves what follows into a cell of its own where a reader
does not know quotes.
"""

ESCAPED = "'${1}"

LINE_END = "\r\n"


def extension(exports: Exports) -> str:
    return f"csv{suffix(exports.csv.compression)}"


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """One header, then every row."""
    options = exports.csv
    with target.open("wb") as file, compressed(file, options.compression, options.level) as packed:
        if options.bom:
            packed.write(codecs.BOM_UTF8)
        packed.write(encode_csv(frame_of(rows.schema.empty_table()), options, header=True))
        for frame in slices(rows):
            packed.write(encode_csv(frame, options, header=False))


def encode_csv(frame: pl.DataFrame, options: CsvOptions, *, header: bool) -> bytes:
    """The rows as text. By default null is an empty field, an empty text is `""`."""
    buffer = io.BytesIO()
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    _escape_formulas(as_cell_texts(frame), texts).write_csv(
        buffer,
        include_header=header,
        line_terminator=LINE_END,
        separator=options.delimiter,
        quote_style=_quote_style(options),
        null_value=options.null_text,
        decimal_comma=options.decimal_comma,
        datetime_format=options.timestamp_format,
        date_format=options.date_format,
        time_format=TIME_FORMAT,
    )
    return buffer.getvalue()


def _quote_style(options: CsvOptions) -> CsvQuoteStyle:
    if options.quote == "all":
        return "always"
    # Quotes tell a text that reads like the text for null from null.
    return "non_numeric" if options.null_text else "necessary"


def _escape_formulas(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Of columns that are texts: what is written of other types begins no formula."""
    texts = frame.select(names)
    found = texts.select(pl.all().str.contains(FORMULA_START).any()).to_dicts()[0] if texts.width else {}
    # Most columns hold no such text, and to look is half of what it costs to write them anew.
    return frame.with_columns(
        pl.col(name).str.replace(FORMULA_START, ESCAPED)
        for name, has_formulas in found.items()
        if has_formulas
    )


FORMAT = ExportFormat(extension, write, is_text=True)
