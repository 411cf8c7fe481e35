"""What the last step left, as the dataset's columns: checked, cast without loss, its refused lines named."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import stringzilla

from shared.datasets.transform import POSITION
from shared.reasons import Reason
from shared.transforms.errors import ResultError
from shared.transforms.frames import read_pieces, read_positions, schema_of, write_pieces

MAX_KEY_BYTES = 2_000
"""Of a key's texts together, as for a row that is not transformed."""

FIRST_DAY, DAY_AFTER_LAST = -719_162, 2_932_897
"""Of the years 1 to 9999, from 1970 on."""

DAY_US = 86_400 * 10**6

Refusal = tuple[int, Reason, str]
"""Row of a piece, why, and the sentence."""
Look = Callable[[pa.RecordBatch], Sequence[Refusal]]


@dataclass(slots=True)
class Transformed:
    """What became of the lines whose rows were transformed."""

    filtered: int = 0
    """Lines of which no row is left."""
    added: int = 0
    """Rows beyond the first of their line."""
    refused: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    """By position. None of the rows of such a line is accepted."""


def finish(
    given: Path,
    last: Path,
    target: Path,
    schema: pa.Schema,
    key: Sequence[str],
    look: Look | None = None,
    optional: Collection[str] = (),
) -> Transformed:
    """Writes the rows with the schema's columns, which are the dataset's and the position.

    `given`: the rows before the first step. `look` may refuse further rows. An `optional` column that the last step
    left out is null. Raises `ResultError` where the columns are
    not the dataset's, or a row is of no line of the batch.
    """
    found = schema_of(last)
    casts = _casts(found, schema, optional)
    refused: dict[int, tuple[Reason, str]] = {}
    looked_at = _looked_at(last, casts, schema, key, look, refused)
    if casts or found.names != schema.names:
        write_pieces(target, schema, looked_at)
    else:
        _exhaust(looked_at)
    if refused:
        gone = pa.array(sorted(refused), pa.int64())
        write_pieces(target, schema, (_without(piece, gone) for piece in _cast(last, casts, schema)))
    became = _count(read_positions(given), read_positions(last), refused)
    if not target.exists():
        last.replace(target)
    return became


def _exhaust(pieces: Iterator[pa.RecordBatch]) -> None:
    for _ in pieces:
        pass


def _count(
    before: "pa.ChunkedArray[Any]", after: "pa.ChunkedArray[Any]", refused: dict[int, tuple[Reason, str]]
) -> Transformed:
    lines, rows = pl.Series(pl.from_arrow(before)), pl.Series(pl.from_arrow(after)).cast(pl.Int64)
    if not rows.is_sorted():
        raise ResultError("its rows are not in the order of their positions")
    left = rows.unique()
    foreign = left.filter(~left.is_in(lines.implode()))
    if len(foreign):
        raise ResultError(f"{POSITION} {foreign[0]} is of no line of the batch: leave {POSITION} as it is")
    kept = rows.filter(~rows.is_in(pl.Series(sorted(refused), dtype=pl.Int64).implode())) if refused else rows
    return Transformed(
        filtered=len(lines) - len(left), added=len(kept) - (len(left) - len(refused)), refused=refused
    )


def _looked_at(
    last: Path,
    casts: Mapping[str, pa.DataType],
    schema: pa.Schema,
    key: Sequence[str],
    look: Look | None,
    refused: dict[int, tuple[Reason, str]],
) -> Iterator[pa.RecordBatch]:
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    for piece in _cast(last, casts, nullable):
        found = [*_refusals(piece, key), *(look(piece) if look is not None else ())]
        positions = piece.column(POSITION)
        for row, reason, detail in sorted(found, key=lambda refusal: refusal[0]):
            refused.setdefault(positions[row].as_py(), (reason, detail))
        # What is refused is written anew without it, so a null key is in no file that is read.
        yield pa.RecordBatch.from_arrays(piece.columns, schema=schema)


def _without(piece: pa.RecordBatch, gone: "pa.Array[Any]") -> pa.RecordBatch:
    return piece.filter(pc.invert(pc.is_in(piece.column(POSITION), value_set=gone)))


def _cast(last: Path, casts: Mapping[str, pa.DataType], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for piece in read_pieces(last):
        columns = []
        for field_ in schema:
            is_there = piece.schema.get_field_index(field_.name) >= 0
            column = piece.column(field_.name) if is_there else pa.nulls(piece.num_rows, field_.type)
            if field_.name in casts:
                column = _exactly(column, field_.name, field_.type)
            columns.append(column)
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _casts(found: pa.Schema, wanted: pa.Schema, optional: Collection[str]) -> dict[str, pa.DataType]:
    """The columns that have another type. Raises `ResultError` for one that is missing or of a foreign type."""
    lacking = [name for name in wanted.names if found.get_field_index(name) < 0]
    if missing := [name for name in lacking if name not in optional]:
        there = ", ".join(name for name in found.names if name != POSITION)[:300]
        raise ResultError(f"the result has no column {', '.join(missing)}: there are {there}")
    casts = {}
    for field_ in wanted:
        if field_.name in lacking:
            continue
        kind = found.field(field_.name).type
        if kind == field_.type:
            continue
        if not _is_kin(kind, field_.type):
            raise ResultError(
                f"column {field_.name} is {kind} in the result, and {field_.type} in the dataset: cast it"
            )
        casts[field_.name] = field_.type
    return casts


def _is_kin(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of the one may be the same values of the other."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_null(kind)
        or kind == wanted
        or any(belongs(kind) and belongs(wanted) for belongs in _FAMILIES)
        or (pa.types.is_decimal(kind) and pa.types.is_integer(wanted))
        or (pa.types.is_integer(kind) and pa.types.is_decimal(wanted))
    )


_FAMILIES: tuple[Callable[[pa.DataType], bool], ...] = (
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind),
    lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind),
    lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    lambda kind: pa.types.is_decimal(kind) or pa.types.is_floating(kind),
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_time,
    pa.types.is_duration,
    pa.types.is_nested,
)


def _exactly(column: "pa.Array[Any]", name: str, kind: pa.DataType) -> "pa.Array[Any]":
    """The same values in another type. Raises `ResultError` for the first that it cannot hold."""
    try:
        if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(kind) and column.type.tz is None:
            column = column.cast(pa.timestamp(column.type.unit, "UTC"))
        cast = column.cast(kind)
        lossy = pa.types.is_floating(kind) and not pa.types.is_integer(column.type)
        if lossy and not _is_same(cast.cast(column.type), column):
            raise ResultError(f"column {name}: a value of {column.type} is not exactly a {kind}: cast it")
    except pa.ArrowException as error:
        raise ResultError(f"column {name}: it cannot be {kind} without loss: {error}") from error
    return cast


def _is_same(back: Any, values: Any) -> bool:
    """Whether all values came back. What is no number is refused row by row."""
    differs = pc.not_equal(back, values)
    if pa.types.is_floating(values.type):
        differs = pc.and_(differs, pc.is_finite(values))
    return not pc.any(differs, min_count=0).as_py()


def _refusals(piece: pa.RecordBatch, key: Sequence[str]) -> Iterator[Refusal]:
    """Rows that no table can have, each once per reason."""
    for name, column in zip(piece.schema.names, piece.columns, strict=True):
        if name in key and column.null_count:
            detail = f"key column {name} is null after the transform"
            yield from ((row, Reason.NO_KEY, detail) for row in _rows(pc.is_null(column)))
        if pa.types.is_string(column.type) and _may_have_nul(column):
            detail = f"{name} contains a NUL after the transform"
            yield from ((row, Reason.NUL, detail) for row in _rows(pc.match_substring(column, "\0")))
        if pa.types.is_floating(column.type) and column.null_count < len(column):
            detail = f"{name} is no number or without end after the transform"
            if not pc.all(pc.is_finite(column)).as_py():
                yield from ((row, Reason.RANGE, detail) for row in _rows(pc.invert(pc.is_finite(column))))
        if pa.types.is_date32(column.type) or pa.types.is_timestamp(column.type):
            detail = f"{name} is not in the years 1 to 9999 after the transform"
            yield from ((row, Reason.RANGE, detail) for row in off_calendar(column))
    yield from _long_keys(piece, key)


def _long_keys(piece: pa.RecordBatch, key: Sequence[str]) -> Iterator[Refusal]:
    total: Any = None
    for name in key:
        column = piece.column(name)
        if pa.types.is_string(column.type):
            size = pc.fill_null(pc.call_function("binary_length", [column]), 0)
            total = size if total is None else pc.add(total, size)
    if total is not None:
        detail = f"the texts of its key have more than {MAX_KEY_BYTES} bytes after the transform"
        long = pc.greater(total, pa.scalar(MAX_KEY_BYTES, total.type))
        yield from ((row, Reason.TOO_LARGE, detail) for row in _rows(long))


def _may_have_nul(column: "pa.Array[Any]") -> bool:
    data = column.buffers()[2]
    return data is not None and stringzilla.find(memoryview(data), b"\0") >= 0


def off_calendar(column: Any) -> list[int]:
    """Places of days and moments outside the years 1 to 9999."""
    number: Any
    if pa.types.is_date32(column.type):
        number, first, end = column.view(pa.int32()), FIRST_DAY, DAY_AFTER_LAST
    else:
        number, first, end = column.view(pa.int64()), FIRST_DAY * DAY_US, DAY_AFTER_LAST * DAY_US
    bounds: Any = pc.min_max(number).as_py()
    if bounds["min"] is None or (first <= bounds["min"] and bounds["max"] < end):
        return []
    low = pc.less(number, pa.scalar(first, number.type))
    return _rows(pc.or_(low, pc.greater_equal(number, pa.scalar(end, number.type))))


def _rows(flags: Any) -> list[int]:
    rows: list[int] = pc.indices_nonzero(pc.fill_null(flags, False)).to_pylist()
    return rows
