"""The clean rows of a batch as Parquet, with their lineage."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from services.processor.adapters.stored_rows import StoredRows, kept_pieces
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


def write_clean(rows: StoredRows, target: Path, batch: BatchManifest, dataset: Dataset) -> Written:
    """Writes the stored rows without duplicates, with their lineage.

    The same rows and manifest give the same bytes. Memory is a row group, and the batch's keys.
    """
    schema = clean_schema(dataset)
    keys = rows.columns(dataset.key)
    kept = last_of_each_key(keys)
    _write(_with_lineage(kept_pieces(rows, kept), batch, schema), target, schema)
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


def _hashes(rows: StoredRows, dataset: Dataset) -> pl.Series:
    """Of each stored row's own columns. Memory is a piece of them, and eight bytes a row."""
    names = [column.name for column in dataset.columns]
    return pl.concat(
        [pl.DataFrame(pl.from_arrow(piece.select(names))).hash_rows() for piece in rows.pieces()]
    )


def _with_lineage(tables: Iterable[pa.Table], batch: BatchManifest, schema: pa.Schema) -> Iterator[pa.Table]:
    """The tables' columns, with those of the batch before the last, which is the position."""
    values = (
        pa.scalar(batch.run_id),
        pa.scalar(batch.batch_id),
        pa.scalar(batch.requested_at, schema.field("_requested_at").type),
    )
    constants: list[pa.Array[Any]] = []
    for table in tables:
        if not constants or len(constants[0]) < table.num_rows:
            constants = [pa.repeat(value, table.num_rows) for value in values]
        of_batch = [constant.slice(0, table.num_rows) for constant in constants]
        yield pa.table([*table.columns[:-1], *of_batch, table.columns[-1]], schema=schema)


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
