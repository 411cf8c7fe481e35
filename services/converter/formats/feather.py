"""Exports as Feather: the file format of Arrow's IPC, with the dataset's own types."""

from pathlib import Path

import pyarrow as pa

from services.converter.formats.base import ExportFormat, Rows
from shared.datasets.exports import Exports

BATCH_ROWS = 65_536
"""Decompressed at once by a reader."""


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """A record batch for each piece, and more for one of many rows."""
    compression = exports.feather.compression
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, rows.schema, options=options) as writer:
        for piece in rows.pieces():
            writer.write_table(piece, max_chunksize=BATCH_ROWS)


FORMAT = ExportFormat(lambda _: "feather", write)
