"""Exports as Excel workbooks: rows stream through, and go on in a further sheet where one is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
from rustpy_xlsxwriter import Format, write_worksheets

from services.converter.formats.base import ExportFormat, Rows, os_error
from services.converter.formats.cells import Column, plan_columns
from services.converter.formats.text import frame_of
from services.converter.formats.xlsx_clock import stop_clock
from shared.datasets.exports import Exports

SHEET_ROWS = 1_048_576
"""Of Excel; the header is one of them."""

SHEETS = 5
"""Of one file that has the batches of a run: more rows are more than Excel opens on most machines."""

SLICE_ROWS = 4_000
"""The writer holds Python's lock for a slice: so short that the service's own work goes on meanwhile."""

TIME_WIDTH = 24.0


def write(rows: Rows, exports: Exports, target: Path) -> None:
    """The rows are read twice: first to see how each column fits into cells. Memory is one slice."""
    columns = plan_columns(rows, exports.xlsx)
    stream = _Stream(rows, columns)
    count = max(1, -(-rows.count // (SHEET_ROWS - 1)))
    names = [f"Sheet{number + 1}" for number in range(count)]
    formats = {column.name: Format().set_num_format(column.style) for column in columns if column.style}
    widths = {column.name: TIME_WIDTH for column in columns if column.is_time}
    with stream.own_errors():
        write_worksheets(
            [(name, stream.next_sheet()) for name in names],
            str(target),
            freeze_panes={"general": {"row": 1, "col": 0}},
            bold_headers=True,
            column_formats=dict.fromkeys(names, formats),
            column_widths=dict.fromkeys(names, widths),
        )
    stop_clock(target)


class _Stream:
    """The rows as cells, one sheet after the other: each is to be read before the next."""

    def __init__(self, rows: Rows, columns: list[Column]) -> None:
        self._columns = columns
        self._slices = rows.slices(SLICE_ROWS)
        self._rest: pa.Table | None = None
        self._schema = self._convert(rows.schema.empty_table()).schema
        self._failure: Exception | None = None

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raises what failed in here as it was, what the system refused as `OSError`: the writer tells both in words."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            if self._failure is not None:
                raise self._failure from None
            raise os_error(error) from error

    def next_sheet(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._schema, self._take(SHEET_ROWS - 1))

    def _take(self, rows: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._pieces(rows)
        except Exception as error:
            self._failure = error
            raise

    def _pieces(self, rows: int) -> Iterator[pa.RecordBatch]:
        while rows and (piece := self._rest or next(self._slices, None)) is not None:
            taken = piece.slice(0, rows)
            self._rest = piece.slice(rows) if piece.num_rows > rows else None
            rows -= taken.num_rows
            yield from self._convert(taken).combine_chunks().to_batches()

    def _convert(self, piece: pa.Table) -> pa.Table:
        frame = frame_of(piece)
        return pl.DataFrame([column.cells(frame[column.name]) for column in self._columns]).to_arrow()


FORMAT = ExportFormat(lambda _: "xlsx", write, is_text=True, max_rows=SHEETS * (SHEET_ROWS - 1))
