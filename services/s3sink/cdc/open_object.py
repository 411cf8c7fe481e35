"""An object of change capture while rows come: Parquet in a scratch file, a row group at a time."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import TransientError
from shared.stages.scratch import hash_file

ROW_GROUP_ROWS = 100_000
ROW_GROUP_BYTES = 16 * 2**20
"""In memory. A group is written at whichever comes first, and is never larger than an object should be."""
GZIP_LEVEL = 1
"""Level 9, the default, takes four times as long for files that are a twentieth smaller."""
_RISING = ("cdc_timestamp", "_lsn", "_tx", "_offset")
"""Stored as the steps between them: an object of narrow rows is half as large, and written in half of the time."""


def open_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A file of the lake as change capture writes it. Rows have the columns `_RISING`."""
    of_dictionaries = [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if field.name not in _RISING
    ]
    return pq.ParquetWriter(
        file,
        schema,
        version="2.6",
        data_page_version="2.0",
        compression="gzip",
        compression_level=GZIP_LEVEL,
        coerce_timestamps="ms",
        write_page_index=True,
        use_dictionary=of_dictionaries,  # type: ignore[arg-type]  # its stubs know a bool alone
        column_encoding=dict.fromkeys(_RISING, "DELTA_BINARY_PACKED"),
    )


class OpenObject:
    """Rows of one schema, in a file of its own below `room`. Calls block: use it in a thread."""

    def __init__(self, schema: pa.Schema, first_timestamp_ms: int, target_bytes: int, room: Path) -> None:
        self.schema = schema
        self.hour = datetime.fromtimestamp(first_timestamp_ms / 1000, UTC)
        """Of the record with the first row, about."""
        self.rows = 0
        self._group_bytes = min(ROW_GROUP_BYTES, target_bytes)
        self.first_lsn: int | None = None
        self.last_lsn: int | None = None
        self._room = room
        self._folder: Path | None = None
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.waiting_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Of the file so far."""
        return self._file.stat().st_size if self._folder is not None and self._file.exists() else 0

    def append(self, rows: pa.Table) -> None:
        """Raises `TransientError` where the disk is full."""
        self.rows += rows.num_rows
        # Rows of a full load that runs beside changes have no LSN.
        known = [
            lsn
            for lsn in (
                self.first_lsn,
                self.last_lsn,
                pc.min(rows["_lsn"]).as_py(),
                pc.max(rows["_lsn"]).as_py(),
            )
            if lsn is not None
        ]
        self.first_lsn, self.last_lsn = min(known, default=None), max(known, default=None)
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        self.waiting_bytes += rows.nbytes
        if self._waiting_rows >= ROW_GROUP_ROWS or self.waiting_bytes >= self._group_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes what waits as a row group."""
        if not self._waiting:
            return
        try:
            if self._writer is None:
                self._folder = Path(tempfile.mkdtemp(dir=self._room))
                self._writer = open_writer(self._file, self.schema)
            table = pa.concat_tables(self._waiting)
            self._writer.write_table(table, row_group_size=table.num_rows)
        except OSError as error:
            if error.errno is None:
                raise  # an error of Arrow about the data
            raise TransientError(f"the scratch folder: {error}"[:500]) from error
        self._waiting, self._waiting_rows, self.waiting_bytes = [], 0, 0

    def finish(self) -> tuple[Path, str, int]:
        """The file, its hash and its bytes."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
        return self._file, *hash_file(self._file)

    def discard(self) -> None:
        """Removes the file. Idempotent."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _file(self) -> Path:
        if self._folder is None:
            raise RuntimeError("nothing is written yet")
        return self._folder / "object.parquet"
