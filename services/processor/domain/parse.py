"""Chunks of lines to rows and refusals: the columnar way where every line is plain, line by line where not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.absent import AbsentFields
from services.processor.domain.chosen_forms import ChosenForms
from services.processor.domain.column_parser import read_columns
from services.processor.domain.layout_parser import read_layout
from services.processor.domain.lines import MAX_LINE_BYTES, Chunk, LongLine
from services.processor.domain.parse_schema import ParseSchema, Target
from services.processor.domain.room import MAX_ROW_BYTES, RowRoom, WideRow
from services.processor.domain.row_parser import NestedTooDeepError, RejectedLine, Row, read_line
from services.processor.domain.typed_columns import Columns
from services.processor.domain.unmapped_fields import UnnamedFields
from shared.reasons import Reason

BLOCK_LINES = 256
"""Lines of a block. All lines beside a doubtful one take the slow way: few enough that one in a thousand costs little."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not a row."""

    line: int
    reason: Reason
    detail: str
    raw: bytes
    is_placeholder: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a run of lines became. `rows` has the parse_schema's schema; both are in the lines' order."""

    rows: pa.RecordBatch
    refused: tuple[Refused, ...]
    ignored: int
    """Values that no column is for."""


class Watch:
    """What is watched through all chunks of one batch."""

    def __init__(
        self, parse_schema: ParseSchema, run_id: str, batch_id: str, *, are_stored: bool = True
    ) -> None:
        """`are_stored` False: the rows are transformed first, so what room they take is not known yet."""
        self.unnamed = UnnamedFields(parse_schema.tree)
        self.forms = ChosenForms(parse_schema)
        self.absent = AbsentFields(parse_schema.targets)
        self.room = RowRoom(parse_schema.targets if are_stored else (), run_id, batch_id)


def parse_chunk(
    chunk: Chunk, first_position: int, parse_schema: ParseSchema, watch: Watch
) -> Iterator[Parsed]:
    """The chunk's rows and refusals, in pieces."""
    lines: list[bytes] = []
    for parsed in _parse(chunk, first_position, parse_schema, watch):
        wide = watch.room.too_wide(parsed.rows)
        if wide:
            lines = lines or chunk.data.split(b"\n")
        yield _without(wide, parsed, chunk, lines, first_position) if wide else parsed
    watch.absent.look(chunk.data)


def _parse(chunk: Chunk, first_position: int, parse_schema: ParseSchema, watch: Watch) -> Iterator[Parsed]:
    found = read_layout(chunk.data, chunk.lines, parse_schema, watch.unnamed)
    if found is None:
        watch.unnamed.observe(chunk.data)
        found = read_columns(chunk.data, chunk.lines, parse_schema, watch.unnamed, watch.forms)
    if found is not None:
        yield _whole(found, chunk.first_line + first_position, parse_schema, watch)
        return
    lines = chunk.data.split(b"\n")[:-1]
    for start in range(0, len(lines), BLOCK_LINES):
        block = lines[start : start + BLOCK_LINES]
        yield _parse_block(block, chunk.first_line + start, first_position, parse_schema, watch)


def refuse_long(line: LongLine) -> Refused:
    detail = f"a line of {line.length} bytes, at most {MAX_LINE_BYTES} are read; raw is its beginning"
    return Refused(line.line, Reason.TOO_LARGE, detail, line.head)


def _parse_block(
    lines: list[bytes], first_line: int, first_position: int, parse_schema: ParseSchema, watch: Watch
) -> Parsed:
    data = b"\n".join(lines) + b"\n"
    found = read_layout(data, len(lines), parse_schema, watch.unnamed)
    if found is None:
        found = read_columns(data, len(lines), parse_schema, watch.unnamed, watch.forms)
    if found is not None:
        return _whole(found, first_line + first_position, parse_schema, watch)
    rows: list[Row] = []
    positions: list[int] = []
    refused: list[Refused] = []
    for number, line in enumerate(lines, first_line):
        verdict = _read_line(line, parse_schema, watch)
        if isinstance(verdict, Row):
            rows.append(verdict)
            positions.append(number + first_position)
        else:
            refused.append(
                Refused(number, verdict.reason, verdict.detail, line, is_placeholder=verdict.is_placeholder)
            )
    columns: Columns = [
        pa.array([row.values[place] for row in rows], target.reader.arrow)
        for place, target in enumerate(parse_schema.targets)
    ]
    batch = _batch(columns, pa.array(positions, pa.int64()), parse_schema, watch)
    return Parsed(batch, tuple(refused), sum(row.ignored for row in rows))


def _read_line(line: bytes, parse_schema: ParseSchema, watch: Watch) -> Row | RejectedLine:
    try:
        return read_line(line, parse_schema)
    except NestedTooDeepError:
        # The columnar parser does not recurse: a deep value that no column is for does not matter to it.
        found = read_columns(line + b"\n", 1, parse_schema, watch.unnamed, watch.forms)
        if found is None:
            return RejectedLine(Reason.DECODE, "nested too deep")
        columns, ignored = found
        return Row(tuple(column[0].as_py() for column in columns), ignored)


def _whole(found: tuple[Columns, int], position: int, parse_schema: ParseSchema, watch: Watch) -> Parsed:
    columns, ignored = found
    positions = pl.int_range(position, position + len(columns[0]), dtype=pl.Int64, eager=True).to_arrow()
    return Parsed(_batch(columns, positions, parse_schema, watch), (), ignored)


def _batch(
    columns: Columns, positions: "pa.Array[Any]", parse_schema: ParseSchema, watch: Watch
) -> pa.RecordBatch:
    watch.absent.saw(columns)
    filled = [_filled(column, target) for column, target in zip(columns, parse_schema.targets, strict=True)]
    return pa.RecordBatch.from_arrays([*filled, positions], schema=parse_schema.schema)


def _without(
    wide: list[WideRow], parsed: Parsed, chunk: Chunk, lines: list[bytes], first_position: int
) -> Parsed:
    """What was parsed, without the rows that are too wide: they are refused."""
    positions = parsed.rows.column(parsed.rows.num_columns - 1)
    refused = list(parsed.refused)
    for row in wide:
        line = positions[row.place].as_py() - first_position
        detail = f"its {row.filled} filled columns take {row.bytes} bytes in PostgreSQL, a row holds {MAX_ROW_BYTES}"
        refused.append(Refused(line, Reason.TOO_LARGE, detail, lines[line - chunk.first_line]))
    refused.sort(key=lambda item: item.line)
    places = {row.place for row in wide}
    kept = pa.array([place not in places for place in range(parsed.rows.num_rows)])
    return Parsed(parsed.rows.filter(kept), tuple(refused), parsed.ignored)


def _filled(column: "pa.Array[Any]", target: Target) -> "pa.Array[Any]":
    return column if target.fill is None else pc.fill_null(column, target.fill)
