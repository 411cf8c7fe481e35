"""The files of an object: which rows are in which folder, and in which order. Columnar, without the rows' other columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.arrow import Array
from shared.datasets.lake import Lake, Partition

MAX_FILES = 1_000
"""Of one object."""

UNIT_FORMATS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%d-%H"}

BATCH, ROW, PART = "_onpoint_batch", "_onpoint_row", "_onpoint_part"


class TooManyFilesError(Exception):
    """The partitions of a dataset are too fine for what is in one object."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file to be written: rows `start` to `stop` of the arrangement, in one folder."""

    values: tuple[str | None, ...]
    """Of the partition columns, as text."""
    start: int
    stop: int
    batches: frozenset[int]
    """Places of the batches that have rows in it."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    parts: tuple[Part, ...]
    rows: Any
    """Numbers of the rows, in their order (int64, chunked); None: as they came."""


def as_they_came(batches: Iterable[int], rows: int) -> Arrangement:
    """One file."""
    return Arrangement((Part((), 0, rows, frozenset(batches)),), None)


def arrange(keys: pa.Table, lake: Lake, order: Sequence[str]) -> Arrangement:
    """`keys`: the columns that partition and sort, with the place of its batch and the number of each row.

    The order is stable. Raises `TooManyFilesError`. Costs a sort of the keys where they are not sorted yet.
    """
    partitions = [partition for partition in lake.partitions if partition.column is not None]
    if not partitions:
        batches: list[Any] = keys[BATCH].unique().to_pylist()
        found = as_they_came(batches, keys.num_rows)
        return found if _is_sorted(keys, order) else Arrangement(found.parts, _sorted(keys, order)[ROW])
    texts = pa.table({each.name: _text(keys[each.column or ""], each) for each in partitions})
    folders = _distinct(texts)
    if folders.num_rows > MAX_FILES:
        names = ", ".join(texts.column_names)
        raise TooManyFilesError(
            f"{keys.num_rows} rows are of {folders.num_rows} folders ({names}), and an object has {MAX_FILES} files "
            "at most: choose coarser partitions"
        )
    rows = _sorted(keys.append_column(PART, _numbers(texts, folders)), [PART, *order])
    values = list(zip(*(folders[name].to_pylist() for name in folders.column_names), strict=True))
    return Arrangement(tuple(_parts(rows, values)), rows[ROW])


def _is_sorted(keys: pa.Table, order: Sequence[str]) -> bool:
    if not order:
        return True
    if len(order) == 1:
        column = keys[order[0]]
        # A null makes the answer null, not true: those that are not at the end have to go there.
        return bool(
            pc.all(pc.less_equal(column.slice(0, len(column) - 1), column.slice(1)), skip_nulls=False).as_py()
        )
    return bool(_places(keys, order).equals(numbered(keys.num_rows).cast(pa.uint64())))


def numbered(rows: int, first: int = 0) -> Array:
    """`first` and on, as int64."""
    numbers: Array = pa.arange(first, first + rows)  # type: ignore[attr-defined]
    return numbers


def _places(keys: pa.Table, order: Sequence[str]) -> Array:
    return pc.sort_indices(keys, [(name, "ascending") for name in order])


def _sorted(keys: pa.Table, order: Sequence[str]) -> pa.Table:
    kept = keys.select([name for name in (BATCH, ROW, PART) if name in keys.column_names])
    return kept.take(_places(keys, order)) if order else kept


def _distinct(texts: pa.Table) -> pa.Table:
    names = texts.column_names
    return texts.group_by(names).aggregate([]).sort_by([(name, "ascending") for name in names])


def _numbers(texts: pa.Table, folders: pa.Table) -> Array:
    """For each row the place of its folder. A join would not match nulls."""
    of_row: Any = pa.scalar(0, pa.int64())
    of_folder: Any = of_row
    for name in texts.column_names:
        known = pc.unique(folders[name])
        size = pa.scalar(len(known), pa.int64())
        of_row = pc.add(pc.multiply(of_row, size), _place(texts[name], known))
        of_folder = pc.add(pc.multiply(of_folder, size), _place(folders[name], known))
    return pc.index_in(of_row, value_set=of_folder.combine_chunks())


def _place(column: Array, known: Array) -> Array:
    return pc.index_in(column, value_set=known).cast(pa.int64())


def _text(column: Array, partition: Partition) -> Array:
    """The empty text is null: both are in one folder."""
    if partition.unit is not None:
        return pc.strftime(column, format=UNIT_FORMATS[partition.unit])
    text: Array = column.cast(pa.string())
    return pc.if_else(pc.equal(text, pa.scalar("")), pa.scalar(None, pa.string()), text)


def _parts(rows: pa.Table, values: Sequence[tuple[str | None, ...]]) -> Iterator[Part]:
    """`rows` are sorted by their folder's number."""
    counted = rows.group_by([PART], use_threads=False).aggregate([(BATCH, "distinct"), (BATCH, "count")])
    start = 0
    for folder in counted.to_pylist():
        stop = start + folder[f"{BATCH}_count"]
        yield Part(values[folder[PART]], start, stop, frozenset(folder[f"{BATCH}_distinct"]))
        start = stop
