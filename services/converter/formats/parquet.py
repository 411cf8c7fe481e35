"""Exports as Parquet: for each column the encoding that its first values ask for, statistics and a page index."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.converter.formats.base import ExportFormat, Rows
from shared.datasets.exports import Exports, ParquetOptions
from shared.parquet.columns import leaf_paths, repetitive_columns
from shared.parquet.writer import RowGroupLimits, RowGroupWriter

ZSTD_LEVEL = 3

ROW_GROUP_BYTES = 64 * 2**20
"""In Arrow. Long rows end a row group before it has the rows that were asked for."""


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """Row groups of as many rows as asked for, whatever the pieces are."""
    options = exports.parquet
    limits = RowGroupLimits(options.row_group_rows, ROW_GROUP_BYTES)
    writer = RowGroupWriter(target, rows.schema, limits, partial(_writer_options, options))
    try:
        for piece in rows.pieces():
            writer.append(piece)
        writer.finish()
    finally:
        writer.abandon()


def _writer_options(options: ParquetOptions, first: pa.Table) -> Mapping[str, Any]:
    dictionary, encodings = choose_encodings(first)
    return {
        "version": "2.6",
        "compression": options.compression,
        "compression_level": _level(options),
        "use_dictionary": dictionary,
        "column_encoding": encodings,
        "write_statistics": True,
        "write_page_index": True,
        "store_schema": True,
    }


def _level(options: ParquetOptions) -> int | None:
    if options.compression == "snappy":
        return None
    return ZSTD_LEVEL if options.level is None else options.level


def choose_encodings(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Columns to write with a dictionary, and the encodings of the others that have a better one than plain.

    What is inside lists and structs gets a dictionary; the writer drops one that grows too large.
    """
    dictionary = repetitive_columns(rows)
    encodings: dict[str, str] = {}
    for field in rows.schema:
        if pa.types.is_nested(field.type):
            dictionary += leaf_paths(field)
        elif field.name not in dictionary and (encoding := _encoding(field.type)):
            encodings[field.name] = encoding
    return dictionary, encodings


def _encoding(kind: pa.DataType) -> str | None:
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return "DELTA_LENGTH_BYTE_ARRAY"
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return "DELTA_BINARY_PACKED"
    return None


FORMAT = ExportFormat(lambda _: "parquet", write)
