"""What a step does to rows. Runs in a process of its own (`shared.transforms.host`), within its limits."""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.transform import BATCH, POSITION
from shared.transforms.frames import PIECE_ROWS, is_sorted, write_pieces
from shared.transforms.locked import locked_connection, prepare

DUCKDB_SHARE = 0.8
"""Of the memory of the process: the rest is for the rows on their way in and out."""


PIECE_BYTES = 32 * 2**20
"""Of rows that are in memory at once on their way into the file."""


class Refusal(Exception):  # noqa: N818 - it says why, and nothing failed
    """Why the step is to blame."""


Names = Sequence[str] | None
"""The columns that the last step leaves, where it has them all."""


def prepare_sql(memory_bytes: int) -> None:
    """Makes `run_sql` begin at once in a child of this process."""
    prepare(_of_database(memory_bytes))


def run_sql(sql: str, source: Path, target: Path, names: Names, memory_bytes: int) -> None:
    """The statement's rows. Of columns with one name the last stays, so `SELECT *, lower(a) AS a` replaces `a`."""
    connection = locked_connection(_of_database(memory_bytes))  # ends with this process
    given = _mapped(source)
    connection.register(BATCH, given)
    rows = connection.sql(sql)
    if rows is None:
        raise Refusal("it gives no rows")
    reader = rows.to_arrow_reader(_piece_rows(given))
    _write(reader.schema, reader, target, names)


def run_explode(column: str, source: Path, target: Path, names: Names) -> None:
    """One row per value of a list; a list that is null or empty leaves its row, with null."""
    table = _mapped(source)
    if column not in table.schema.names:
        raise Refusal(f"there is no column {column}: there are {', '.join(table.schema.names)[:300]}")
    kind = table.schema.field(column).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise Refusal(f"{column} is {kind}, a list is expected")
    value = kind.value_type
    schema = table.schema.set(table.schema.get_field_index(column), pa.field(column, value))
    pieces = (
        pa.RecordBatch.from_arrays(columns, schema=schema)
        for whole in table.to_batches(PIECE_ROWS)
        for piece in _cut(whole, column)
        for columns in _exploded(piece, column, value)
    )
    _write(schema, pieces, target, names)


def run_python(function: Callable[[Any], Any], frame: str, source: Path, target: Path, names: Names) -> None:
    """The function's frame. Generators of random numbers that it finds are seeded."""
    table = _mapped(source)
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    given = _FRAMES[frame][0](table)
    result = function(given)
    if result is None:
        raise Refusal("it returned None: it must return the frame, with the rows that stay")
    taken = _FRAMES[frame][1](result)
    if taken is None:
        raise Refusal(f"it returned {_name(result)}, a frame of {frame} is expected")
    found = taken.schema.names
    if doubles := sorted({name for name in found if found.count(name) > 1}):
        raise Refusal(f"two of its columns are named {doubles[0]}")
    _write(taken.schema, iter(taken.to_batches(PIECE_ROWS)), target, names)


def _of_database(memory_bytes: int) -> int:
    return int(DUCKDB_SHARE * memory_bytes)


def _mapped(source: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(source))).read_all()


def _write(
    schema: pa.Schema, pieces: Iterator[pa.RecordBatch] | pa.RecordBatchReader, target: Path, names: Names
) -> None:
    """The rows in the order of their positions; those of one position stay as they are."""
    places = {name: place for place, name in enumerate(schema.names)}
    if POSITION not in places:
        raise Refusal(f"its rows have no {POSITION}: select it too, or *, so that each row has its line")
    is_whole = names is not None and set(names) <= places.keys()
    kept = [places[name] for name in names or ()] if is_whole else list(places.values())
    narrowed = pa.schema([schema.field(place) for place in kept])
    write_pieces(target, narrowed, (_narrow(piece, kept, narrowed) for piece in pieces))
    with pa.memory_map(str(target)) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
        positions = _whole(table.column(POSITION))
        if is_sorted(positions):
            return
        table = table.take(pc.array_sort_indices(positions.combine_chunks()))
    write_pieces(target.with_suffix(".sorted"), narrowed, iter(table.to_batches(PIECE_ROWS)))
    target.with_suffix(".sorted").replace(target)


def _narrow(piece: pa.RecordBatch, kept: list[int], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([piece.column(place) for place in kept], schema=schema)


def _whole(positions: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    try:
        whole = positions.cast(pa.int64())
    except pa.ArrowException as error:
        raise Refusal(f"its {POSITION} is {positions.type}, and no position: {error}") from error
    if whole.null_count:
        raise Refusal(f"{POSITION} is null in {whole.null_count} rows: each row has the position of its line")
    return whole


def _cut(piece: pa.RecordBatch, column: str) -> Iterator[pa.RecordBatch]:
    """Parts that stay within `PIECE_BYTES` though each of their rows is copied as often as the longest list has values;
    or single rows.
    """
    longest = pc.max(pc.list_value_length(piece.column(column))).as_py() or 0
    if piece.num_rows <= 1 or longest * piece.nbytes <= PIECE_BYTES:
        yield piece
        return
    half = piece.num_rows // 2
    yield from _cut(piece.slice(0, half), column)
    yield from _cut(piece.slice(half), column)


def _exploded(piece: pa.RecordBatch, column: str, value: pa.DataType) -> "Iterator[list[pa.Array[Any]]]":
    """A single row that takes more than `PIECE_BYTES` comes in parts of its list."""
    lists = piece.column(column)
    lengths: Any = pc.fill_null(pc.list_value_length(lists), 0)
    empty = pc.indices_nonzero(pc.equal(lengths, pa.scalar(0, lengths.type))).cast(pa.int64())
    parents = pa.concat_arrays([pc.list_parent_indices(lists).cast(pa.int64()), empty])
    nulls: Any = pa.array([None] * len(empty), value)
    values = pa.concat_arrays([pc.list_flatten(lists), nulls])
    order = pc.array_sort_indices(parents)
    most = len(order) if piece.num_rows > 1 else max(1, PIECE_BYTES // max(1, piece.nbytes))
    for start in range(0, len(order), max(1, most)):
        part = order.slice(start, most)
        rows = parents.take(part)
        yield [
            values.take(part) if name == column else piece.column(name).take(rows)
            for name in piece.schema.names
        ]


def _piece_rows(given: pa.Table) -> int:
    """Fewer of wide rows: each row that waits for its piece is in memory."""
    return max(1, min(PIECE_ROWS, PIECE_BYTES * given.num_rows // max(1, given.nbytes)))


def _name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__


def _to_polars(table: pa.Table) -> Any:
    return import_module("polars").from_arrow(table)


def _from_polars(result: Any) -> pa.Table | None:
    polars = import_module("polars")
    if isinstance(result, polars.LazyFrame):
        result = result.collect()
    if not isinstance(result, polars.DataFrame):
        return None
    table: pa.Table = result.to_arrow(compat_level=polars.CompatLevel.oldest())
    return table


def _from_arrow(result: Any) -> pa.Table | None:
    if isinstance(result, pa.RecordBatch):
        return pa.Table.from_batches([result])
    return result if isinstance(result, pa.Table) else None


def _to_pandas(table: pa.Table) -> Any:
    return table.to_pandas(types_mapper=import_module("pandas").ArrowDtype)


def _from_pandas(result: Any) -> pa.Table | None:
    if not isinstance(result, import_module("pandas").DataFrame):
        return None
    return pa.Table.from_pandas(result, preserve_index=False).replace_schema_metadata(None)


_FRAMES: dict[str, tuple[Callable[[pa.Table], Any], Callable[[Any], pa.Table | None]]] = {
    "polars": (_to_polars, _from_polars),
    "arrow": (lambda table: table, _from_arrow),
    "pandas": (_to_pandas, _from_pandas),
}
"""How rows get into a frame, and out of what was returned; None: it is no such frame."""
