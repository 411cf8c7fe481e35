"""Exports as Avro: a block for each slice, with the logical types of dates, times and decimals."""

from pathlib import Path

import polars as pl
from polars_avro import AvroError, AvroWriter, Codec

from services.converter.formats.avro_marker import set_marker
from services.converter.formats.base import ExportFormat, Rows, os_error
from services.converter.formats.text import frame_of, slices
from shared.datasets.exports import Exports

_CODECS = {"snappy": Codec.Snappy, "zstd": Codec.Zstandard, "deflate": Codec.Deflate, "none": None}


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """Every column may be null; integers of less than 32 bits become `int`, durations `long` microseconds."""
    schema = pl.Schema(frame_of(rows.schema.empty_table()).schema)
    try:
        with AvroWriter(target, schema=schema, codec=_CODECS[exports.avro.compression]) as writer:
            for frame in slices(rows):
                writer.write(frame)
    except AvroError as error:
        raise os_error(error) from error
    set_marker(target)


FORMAT = ExportFormat(lambda _: "avro", write)
