"""Clean Parquet to PostgreSQL's binary COPY format, without a Python object per row."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.loader.adapters.wire import Wire
from services.loader.domain import KeyRange
from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.events.models import Artifact
from shared.parquet.columns import widened
from shared.parquet.reader import read_clean

CHUNK_ROWS = 16_384
"""Rows encoded at a time. Larger chunks gain nothing and block the interpreter longer (6 ms at 300 bytes a row)."""

PROCESSED_AT = pa.field("etl_processed_at", pa.timestamp("us", tz="UTC"), nullable=False)


async def encode_copy(
    parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset, *, processed_at: datetime | None = None
) -> AsyncIterator[bytes]:
    """The body of one COPY of all columns, in the file's order. Memory is one chunk, decoded and encoded.

    With `processed_at`, the table's own column `etl_processed_at` comes last. Raises `PermanentError` (`schema`)
    where the file cannot be decoded.
    """
    wider = _as_loaded(parquet.schema_arrow, dataset)
    schema = wider if processed_at is None else wider.append(PROCESSED_AT)
    wire = Wire(dataset, schema)
    encoder = wire.encoder()
    chunks = read_clean(parquet, artifact, CHUNK_ROWS)

    def encode_next() -> bytes | None:
        chunk = next(chunks, None)
        if chunk is None:
            return None
        chunk = _widened(chunk, wider)
        if processed_at is not None:
            times = pa.repeat(pa.scalar(processed_at, PROCESSED_AT.type), chunk.num_rows)
            chunk = pa.RecordBatch.from_arrays([*chunk.columns, times], schema=schema)
        return encoder.write_batch(wire.of(chunk))

    yield encoder.write_header()
    while (encoded := await asyncio.to_thread(encode_next)) is not None:
        yield encoded
    yield encoder.finish()


class Pieces:
    """Any rows of the file by their place, for a search among them. Memory is one row group, decoded."""

    def __init__(self, parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset) -> None:
        self._parquet = parquet
        self._schema = _as_loaded(parquet.schema_arrow, dataset)
        self._wire = Wire(dataset, self._schema)
        self._artifact = artifact
        metadata = parquet.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))
        self._decoded: tuple[int, pa.Table] | None = None

    async def encode(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """As `encode_copy`, of the rows from `start` up to, and without, `stop`."""
        encoder = self._wire.encoder()
        yield encoder.write_header()
        for group in range(len(self._starts) - 1):
            first = max(start, self._starts[group])
            if (rows := min(stop, self._starts[group + 1]) - first) > 0:
                table = (await asyncio.to_thread(self._read, group)).slice(first - self._starts[group], rows)
                for chunk in table.to_batches(max_chunksize=CHUNK_ROWS):
                    yield await asyncio.to_thread(
                        lambda rows: encoder.write_batch(self._wire.of(rows)), chunk
                    )
        yield encoder.finish()

    def row(self, place: int) -> dict[str, Any]:
        group = bisect_right(self._starts, place) - 1
        [row] = self._read(group).slice(place - self._starts[group], 1).to_pylist()
        return dict(row)

    def _read(self, group: int) -> pa.Table:
        if self._decoded is None or self._decoded[0] != group:
            self._decoded = None
            chunks = read_clean(self._parquet, self._artifact, CHUNK_ROWS, groups=[group])
            wider = (_widened(chunk, self._schema) for chunk in chunks)
            self._decoded = group, pa.Table.from_batches(wider, self._schema)
        return self._decoded[1]


def _as_loaded(schema: pa.Schema, dataset: Dataset) -> pa.Schema:
    """The file's columns with the dataset's types, which may have become wider since it was written."""
    types = {field.name: field.type for field in clean_schema(dataset)}
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in schema])


def _widened(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if rows.schema.types == schema.types:
        return rows
    columns = [widened(column, field.type) for column, field in zip(rows.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def ascending_keys(parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset) -> KeyRange | None:
    """The bounds of the file's keys; None where the key is not one integer, or the rows are not in its order.

    Reads the key's column: memory is eight bytes a row. Raises as `encode_copy`.
    """
    types = {column.name: column.type for column in dataset.columns}
    if [types[name] for name in dataset.key] != ["int64"]:
        return None
    bounds: list[int] = []
    for piece in read_clean(parquet, artifact, CHUNK_ROWS, columns=list(dataset.key)):
        keys = piece.column(0)
        ascend = pc.all(pc.less_equal(keys.slice(0, len(keys) - 1), keys.slice(1)), min_count=0).as_py()
        first, last = keys[0].as_py(), keys[-1].as_py()
        if not ascend or (bounds and first < bounds[-1]):
            return None
        bounds += [first, last]
    return KeyRange(bounds[0], bounds[-1]) if bounds else None


def null_counts(parquet: pq.ParquetFile, artifact: Artifact, dataset: Dataset) -> dict[str, int]:
    """How many rows are null in each of the dataset's columns, those without any too.

    The file's footer tells; a column that it does not tell of is read. Raises as `encode_copy`.
    """
    leaves = parquet.metadata.row_group(0).num_columns if parquet.metadata.num_row_groups else 0
    # What is nested has leaves of longer names, whose nulls are none of the column's.
    places = {parquet.schema.column(place).path: place for place in range(leaves)}
    names = set(parquet.schema_arrow.names)
    return {
        column.name: _nulls_of(parquet, artifact, column.name, places.get(column.name))
        if column.name in names
        else parquet.metadata.num_rows
        for column in dataset.columns
    }


def _nulls_of(parquet: pq.ParquetFile, artifact: Artifact, name: str, place: int | None) -> int:
    total = 0
    for group in range(parquet.metadata.num_row_groups):
        if place is None:
            break
        statistics = parquet.metadata.row_group(group).column(place).statistics
        if statistics is None or statistics.null_count is None:
            break
        total += statistics.null_count
    else:
        return total
    pieces = read_clean(parquet, artifact, CHUNK_ROWS, columns=[name])
    return sum(piece.column(0).null_count for piece in pieces)
