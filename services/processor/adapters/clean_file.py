"""The clean rows of a batch as Parquet, with their lineage."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from services.processor.adapters.spill_file import read_columns, read_kept
from services.processor.domain.duplicates import count_repeated, last_of_each_key
from shared.datasets.arrow import clean_schema
from shared.datasets.lineage import LINEAGE
from shared.datasets.model import Dataset
from shared.events.models import Artifact, BatchManifest
from shared.parquet.columns import align, repetitive_columns
from shared.parquet.reader import read_clean
from shared.parquet.writer import RowGroupLimits, RowGroupWriter

ROW_GROUPS = RowGroupLimits(rows=50_000, size_bytes=64 * 2**20)

READ_ROWS = 16_384
"""Rows of a clean file decoded at a time."""

OF_BATCH = frozenset(column.name for column in LINEAGE if column.of_batch)


class Written(NamedTuple):
    """Rows of a clean file, and those replaced by a row with the same key."""

    accepted: int
    deduplicated: int
    repeated: int
    """Of those, the ones with the same content."""


def write_clean(rows: Path, target: Path, batch: BatchManifest, dataset: Dataset) -> Written:
    """Writes the stored rows without duplicates, with their lineage.

    The same rows and manifest give the same bytes. Memory is a row group, and the batch's keys.
    """
    schema = clean_schema(dataset)
    keys = read_columns(rows, dataset.key)
    kept = last_of_each_key(keys)
    with pa.OSFile(str(rows), "rb") as source:
        _write(_with_lineage(read_kept(pa.ipc.open_file(source), kept), batch, schema), target, schema)
    accepted = int(kept.sum())
    deduplicated = len(kept) - accepted
    repeated = count_repeated(keys, _hashes(rows, dataset), kept) if deduplicated else 0
    return Written(accepted, deduplicated, repeated)


def rewrite_lineage(
    clean: pq.ParquetFile, artifact: Artifact, target: Path, batch: BatchManifest, dataset: Dataset
) -> None:
    """Writes another run's clean rows as this batch's: only their run, batch and time of request change.

    A column that they lack is null. Raises `PermanentError` (`schema`) where the file cannot be decoded.
    """
    schema = clean_schema(dataset)
    kept = pa.schema([field for field in schema if field.name not in OF_BATCH])
    pieces = (align(piece, kept) for piece in read_clean(clean, artifact, READ_ROWS))
    _write(_with_lineage(pieces, batch, schema), target, schema)


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


def _write(tables: Iterable[pa.Table], target: Path, schema: pa.Schema) -> None:
    writer = RowGroupWriter(target, schema, ROW_GROUPS, _options)
    try:
        for table in tables:
            writer.append(table)
        writer.finish()
    finally:
        writer.abandon()


def _options(first: pa.Table) -> Mapping[str, Any]:
    return {
        "version": "2.6",
        "compression": "snappy",
        "use_dictionary": repetitive_columns(first),
        "write_statistics": True,
        "store_schema": True,
    }
