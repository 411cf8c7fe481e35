"""Finds rows of a Parquet object by the values of some columns, and reads no more of it than that needs.

First the footer; then of each row group that the statistics do not rule out one block of its Bloom filter, if it has
one; then the columns with the values; then, of row groups with a match, the columns that are asked for.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.parquet import bloom
from shared.parquet.sparse import TAIL_BYTES, Range, chunk_range, footer_range, read_columns

FIRST_READ_BYTES = 64 * 1024
"""Of the object's end: the footer of some thousand column chunks."""

Fetch = Callable[[Sequence[Range]], Awaitable[list[bytes]]]
"""Parts of an object, in the order asked for."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row that matches."""

    row_group: int
    values: Mapping[str, Any]


async def find_rows(
    fetch: Fetch, size: int, wanted: Mapping[str, "pa.Scalar[Any]"], columns: Sequence[str]
) -> list[Found]:
    """The rows of an object of `size` bytes whose columns have the wanted values, with `columns` of each.

    No row has a value in a column that the object lacks. Raises `pa.ArrowInvalid` or `OSError` for an object that is no
    Parquet, and what `fetch` raises. Memory is the wanted columns of one row group.
    """
    metadata = await _footer(fetch, size)
    schema = metadata.schema.to_arrow_schema()
    values = _as_stored(wanted, schema)
    if values is None:
        return []
    groups = [group for group in range(metadata.num_row_groups) if _in_range(metadata, group, values)]
    found: list[Found] = []
    for group in await _not_ruled_out(fetch, metadata, groups, values):
        rows = await _matching(fetch, metadata, size, group, values)
        if len(rows):
            there = [name for name in columns if name in schema.names]
            table = (await _read(fetch, metadata, size, group, there)).take(rows)
            found += [Found(group, row) for row in table.to_pylist()]
    return found


async def _footer(fetch: Fetch, size: int) -> pq.FileMetaData:
    if size < TAIL_BYTES:
        raise pa.ArrowInvalid("it is too short for a Parquet file")
    first = max(0, size - FIRST_READ_BYTES)
    [tail] = await fetch([(first, size)])
    start, _ = footer_range(tail, size)
    if start < first:
        [before] = await fetch([(start, first)])
        tail, first = before + tail, start
    return pq.read_metadata(pa.BufferReader(tail[start - first :]))


def _as_stored(
    wanted: Mapping[str, "pa.Scalar[Any]"], schema: pa.Schema
) -> dict[str, "pa.Scalar[Any]"] | None:
    """The values in the types of the object; None where it can have none of them."""
    values = {}
    for name, value in wanted.items():
        if name not in schema.names:
            return None
        try:
            values[name] = value.cast(schema.field(name).type)
        except pa.ArrowInvalid:
            return None
    return values


def _chunks(metadata: pq.FileMetaData, group: int) -> Iterator[tuple[str, pq.ColumnChunkMetaData]]:
    row_group = metadata.row_group(group)
    for place in range(row_group.num_columns):
        chunk = row_group.column(place)
        yield chunk.path_in_schema, chunk


def _in_range(metadata: pq.FileMetaData, group: int, values: Mapping[str, "pa.Scalar[Any]"]) -> bool:
    for name, chunk in _chunks(metadata, group):
        statistics = chunk.statistics
        if name not in values or statistics is None or not statistics.has_min_max:
            continue
        try:
            if not statistics.min <= values[name].as_py() <= statistics.max:
                return False
        except TypeError:
            continue
    return True


async def _not_ruled_out(
    fetch: Fetch, metadata: pq.FileMetaData, groups: Sequence[int], values: Mapping[str, "pa.Scalar[Any]"]
) -> list[int]:
    asked: list[tuple[int, int, Range]] = []
    for group in groups:
        for name, chunk in _chunks(metadata, group):
            hashed = bloom.hash_of(values[name], chunk.physical_type) if name in values else None
            block = None if hashed is None else bloom.block_range(chunk, hashed)
            if hashed is not None and block is not None:
                asked.append((group, hashed, block))
    blocks = await fetch([block for _, _, block in asked]) if asked else []
    absent = {
        group
        for (group, hashed, _), block in zip(asked, blocks, strict=True)
        if not bloom.may_contain(block, hashed)
    }
    return [group for group in groups if group not in absent]


async def _matching(
    fetch: Fetch, metadata: pq.FileMetaData, size: int, group: int, values: Mapping[str, "pa.Scalar[Any]"]
) -> Any:
    """The numbers of the rows of a row group that have all the values."""
    table = await _read(fetch, metadata, size, group, list(values))
    mask: Any = None
    for name, value in values.items():
        one = pc.equal(table[name], value)
        mask = one if mask is None else pc.and_(mask, one)
    return pc.indices_nonzero(pc.fill_null(mask, pa.scalar(False)))


async def _read(
    fetch: Fetch, metadata: pq.FileMetaData, size: int, group: int, columns: Sequence[str]
) -> pa.Table:
    ranges = [chunk_range(chunk) for name, chunk in _chunks(metadata, group) if name in columns]
    parts = await fetch(ranges)
    starts = [start for start, _ in ranges]
    return read_columns(metadata, size, group, columns, list(zip(starts, parts, strict=True)))
