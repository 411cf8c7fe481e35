"""A batch's files: raw artifacts read as streams, kept rows set aside on disk, Parquet and quarantine written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from services.processor.domain.duplicates import count_repeated, last_of_each_key
from services.processor.domain.parse import Refused
from services.processor.domain.quarantine import RequestLog, quarantine_line
from shared.datasets.arrow import clean_schema
from shared.datasets.lineage import LINEAGE
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import Artifact, BatchManifest
from shared.parquet.columns import repetitive_columns
from shared.parquet.reader import read_clean
from shared.reasons import Reason

BLOCK_BYTES = 8 * 2**20
"""One parse: large enough that its fixed costs vanish, small enough that several times its size is little memory."""

MAX_INFLATED_BYTES = 4 * 2**30
MAX_RATIO = 1000
FREE_INFLATED_BYTES = 256 * 2**20
"""A batch inflates to at most `MAX_RATIO` times its size above this, and to `MAX_INFLATED_BYTES` in any case."""

MAX_WINDOW_BYTES = 2**27

ROW_GROUP_ROWS = 50_000
ROW_GROUP_BYTES = 64 * 2**20
"""A row group ends at whichever comes first: a reader holds one of them in memory."""

QUARANTINE_LEVEL = 3

READ_ROWS = 16_384
"""Rows of a clean file decoded at a time."""

STAMPED = frozenset(column.name for column in LINEAGE if column.of_batch)


def inflate(file: Path) -> Iterator[bytes]:
    """The file's content in blocks. Raises `PermanentError`: `decode` if it is no zstd, `too_large` for a bomb."""
    allowed = min(MAX_INFLATED_BYTES, FREE_INFLATED_BYTES + MAX_RATIO * file.stat().st_size)
    total = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with file.open("rb") as source, decompressor.stream_reader(source, read_across_frames=True) as reader:
        while True:
            try:
                block = reader.read(BLOCK_BYTES)
            except zstandard.ZstdError as error:
                raise PermanentError(Reason.DECODE, f"not zstd: {error}") from error
            if not block:
                return
            total += len(block)
            if total > allowed:
                raise PermanentError(
                    Reason.TOO_LARGE, f"{file.stat().st_size} bytes inflate to more than {allowed}"
                )
            yield block


class RowStore:
    """Rows set aside in a file, so that memory stays flat. They are not mapped: mapped pages count as the process's."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._sink = pa.OSFile(str(file), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._sink.close()

    def add(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._writer.write_batch(rows)


class Quarantine:
    """Refused lines as zstd JSON lines, in the order of their positions."""

    def __init__(self, file: Path, log: RequestLog, first_position: int) -> None:
        self._log = log
        self._first_position = first_position
        self._file = file.open("wb")
        self._writer = zstandard.ZstdCompressor(level=QUARANTINE_LEVEL).stream_writer(self._file)
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]  # as its stubs have it
        self._file.close()

    def add(self, refused: Iterable[Refused]) -> None:
        for line in refused:
            reason, data = quarantine_line(line, self._log, self._first_position)
            self.reasons[reason.value] += 1
            self._writer.write(data)


class Written(NamedTuple):
    """Rows of a clean file, and those that gave way to one of the same key."""

    accepted: int
    deduplicated: int
    repeated: int
    """Of those, the ones that said nothing else."""


def write_clean(rows: Path, target: Path, batch: BatchManifest, dataset: Dataset) -> Written:
    """Writes the stored rows without duplicates, with their lineage.

    The same rows and manifest give the same bytes. Memory is a row group, and the batch's keys.
    """
    schema = clean_schema(dataset)
    keys = _stored_columns(rows, dataset.key)
    kept = last_of_each_key(keys)
    with pa.OSFile(str(rows), "rb") as source:
        groups = _regroup(_with_lineage(_kept_batches(pa.ipc.open_file(source), kept), batch, schema))
        _write_parquet(groups, target, schema)
    accepted = int(kept.sum())
    deduplicated = len(kept) - accepted
    repeated = count_repeated(keys, _hashes(rows, dataset), kept) if deduplicated else 0
    return Written(accepted, deduplicated, repeated)


def _hashes(rows: Path, dataset: Dataset) -> pl.Series:
    """Of each stored row's own columns. Memory is a piece of the file, and eight bytes a row."""
    names = [column.name for column in dataset.columns]
    with pa.OSFile(str(rows), "rb") as source:
        file = pa.ipc.open_file(source)
        pieces = [
            pl.DataFrame(pl.from_arrow(file.get_batch(number).select(names))).hash_rows()
            for number in range(file.num_record_batches)
        ]
    return pl.concat(pieces)


def _stored_columns(rows: Path, names: Sequence[str]) -> pa.Table:
    """Of the stored rows; nothing else is read."""
    with pa.OSFile(str(rows), "rb") as source:
        schema = pa.ipc.open_file(source).schema
        options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])
        return pa.ipc.open_file(source, options=options).read_all().select(list(names))


def restamp_clean(
    clean: pq.ParquetFile, artifact: Artifact, target: Path, batch: BatchManifest, dataset: Dataset
) -> None:
    """Writes another run's clean rows as this batch's: all that changes is their run, batch and time of request.

    A column that they lack is null. Raises `PermanentError` (`schema`) where the file cannot be decoded.
    """
    schema = clean_schema(dataset)
    columns = [field.name for field in schema if field.name not in STAMPED]

    def unstamped() -> Iterator[pa.Table]:
        for piece in read_clean(clean, artifact, READ_ROWS):
            yield pa.table(
                {
                    name: piece.column(name)
                    if name in piece.schema.names
                    else pa.nulls(piece.num_rows, schema.field(name).type)
                    for name in columns
                }
            )

    _write_parquet(_regroup(_with_lineage(unstamped(), batch, schema)), target, schema)


def _kept_batches(stored: pa.ipc.RecordBatchFileReader, kept: pl.Series) -> Iterator[pa.Table]:
    all_kept = bool(kept.all())
    start = 0
    for number in range(stored.num_record_batches):
        table = pa.Table.from_batches([stored.get_batch(number)])
        flags = kept.slice(start, table.num_rows)
        start += table.num_rows
        yield table if all_kept else table.filter(flags.to_arrow())


def _with_lineage(tables: Iterable[pa.Table], batch: BatchManifest, schema: pa.Schema) -> Iterator[pa.Table]:
    """The tables' columns, with those of the batch before the last, which is the position."""
    values = (
        pa.scalar(batch.run_id),
        pa.scalar(batch.batch_id),
        pa.scalar(batch.requested_at, schema.field("_requested_at").type),
    )
    for table in tables:
        constants = [pa.repeat(value, table.num_rows) for value in values]
        yield pa.table([*table.columns[:-1], *constants, table.columns[-1]], schema=schema)


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables of exactly `ROW_GROUP_ROWS` rows, or fewer where their bytes would be too many."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            part = table.slice(start, ROW_GROUP_ROWS - rows)
            start += part.num_rows
            waiting.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            if rows == ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def _write_parquet(groups: Iterator[pa.Table], target: Path, schema: pa.Schema) -> None:
    first = next(groups, schema.empty_table())
    with pq.ParquetWriter(
        target,
        schema,
        version="2.6",
        compression="snappy",
        use_dictionary=repetitive_columns(first),  # type: ignore[arg-type]  # the stubs miss the list
        write_statistics=True,
        store_schema=True,
    ) as writer:
        for group in chain((first,), groups):
            writer.write_table(group, row_group_size=max(1, group.num_rows))
