"""What an export looks like: cells of a CSV, encodings of a Parquet. Pure: Arrow and polars in and out."""

import io

import polars as pl
import pyarrow as pa

from shared.datasets.arrow import data_schema
from shared.datasets.model import Dataset
from shared.parquet.columns import repetitive_columns

FORMULA_START = r"^([=+\-@\t\r＝＋－＠])"  # noqa: RUF001 - spreadsheets take the full-width signs too
"""A spreadsheet runs a text that begins like this; an apostrophe before it makes it a text again."""

DISARMED = "'${1}"

STAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
DATE_FORMAT = "%Y-%m-%d"
LINE_END = "\r\n"


def export_table(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """The dataset's own columns in its file's order; one that is newer than the rows is null."""
    schema = data_schema(dataset)
    columns = [
        rows.column(field.name)
        if field.name in rows.column_names
        else pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def encode_csv(rows: pa.Table, *, header: bool) -> bytes:
    """RFC 4180 in UTF-8. Null is an empty field, an empty text is `""`; a text that could run is disarmed."""
    frame = pl.from_arrow(rows)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    buffer = io.BytesIO()
    _disarm(frame).write_csv(
        buffer,
        include_header=header,
        line_terminator=LINE_END,
        datetime_format=STAMP_FORMAT,
        date_format=DATE_FORMAT,
    )
    return buffer.getvalue()


def _disarm(frame: pl.DataFrame) -> pl.DataFrame:
    texts = frame.select(pl.col(pl.String))
    armed = texts.select(pl.all().str.contains(FORMULA_START).any()).to_dicts()[0] if texts.width else {}
    # Most columns hold no such text, and to look is half of what it costs to write them anew.
    return frame.with_columns(
        pl.col(name).str.replace(FORMULA_START, DISARMED) for name, is_armed in armed.items() if is_armed
    )


def choose_encodings(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Columns to write with a dictionary, and the encodings of the others that have a better one than plain."""
    dictionary = repetitive_columns(rows)
    encodings: dict[str, str] = {}
    for field in rows.schema:
        if field.name in dictionary:
            continue
        if pa.types.is_string(field.type):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
        elif pa.types.is_integer(field.type) or pa.types.is_temporal(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return dictionary, encodings
