"""Export formats beside the writers that people use for them: the same rows, in turns, in one process.

Both have the rows in memory as they want them: the converter's formats as Arrow, pandas as a frame. fastavro and openpyxl
take Python's own rows, and making those is what writing row by row costs.
"""

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import openpyxl
import pandas as pd
import pyarrow as pa

from services.converter.formats.base import Rows
from services.converter.formats.registry import FORMATS
from shared.datasets.exports import Exports
from shared.events.names import Format

PIECE_ROWS = 50_000
"""Of a row group that the processor writes."""

SLICE_ROWS = 10_000
"""Turned into Python's rows at a time."""

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

AVRO_SCHEMA = {
    "type": "record",
    "name": "row",
    "fields": [
        {"name": name, "type": ["null", kind]}
        for name, kind in (
            ("id", "long"),
            ("user_id", "long"),
            ("title", "string"),
            ("body", "string"),
            ("price", "double"),
            ("sold", "boolean"),
            ("at", {"type": "long", "logicalType": "timestamp-micros"}),
            ("day", {"type": "int", "logicalType": "date"}),
        )
    ],
}


@dataclass(frozen=True, slots=True)
class Other:
    """A writer to be compared with, and how many times as fast the converter is to be."""

    name: str
    goal: float
    write: Callable[[pa.Table, Path], None]


def make_rows(count: int) -> pa.Table:
    """Records of about 500 bytes, every kind of value among them."""
    numbers = range(count)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "user_id": pa.array((n * 7919 % 5_000 for n in numbers), pa.int64()),
            "title": [f"record {n} of {count}" for n in numbers],
            "body": [f"Text {n * 2654435761 % 2**32:x} of a record. " * 13 for n in numbers],
            "price": [n * 37 % 100_000 / 100 for n in numbers],
            "sold": [n % 3 == 0 for n in numbers],
            "at": pa.array(
                (BEGIN + dt.timedelta(milliseconds=n * 61) for n in numbers), pa.timestamp("us", "UTC")
            ),
            "day": pa.array((BEGIN.date() + dt.timedelta(days=n % 300) for n in numbers), pa.date32()),
        }
    )


def measure(rows: int, repeat: int) -> list[dict[str, Any]]:
    """A line per format; the median of the turns counts."""
    table = make_rows(rows)
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as folder:
        return [_compare(name, table, Path(folder), repeat) for name in FORMATS]


def _compare(name: Format, table: pa.Table, folder: Path, repeat: int) -> dict[str, Any]:
    other = OTHERS.get(name)
    own_s, other_s = [], []
    for _ in range(repeat):
        own_s.append(_timed(lambda target: _write(name, table, target), folder / "own"))
        if other is not None:
            other_s.append(_timed(lambda target: other.write(table, target), folder / "other"))
    seconds = statistics.median(own_s)
    found = {
        "format": name,
        "seconds": seconds,
        "rows_per_s": table.num_rows / seconds,
        "bytes": (folder / "own").stat().st_size,
    }
    if other is None:
        return found
    compared = statistics.median(other_s)
    return found | {
        "beside": other.name,
        "beside_seconds": compared,
        "beside_bytes": (folder / "other").stat().st_size,
        "ratio": compared / seconds,
        "goal": other.goal,
    }


def _timed(write: Callable[[Path], None], target: Path) -> float:
    started_s = time.perf_counter()
    write(target)
    return time.perf_counter() - started_s


def _write(name: Format, table: pa.Table, target: Path) -> None:
    pieces = [table.slice(start, PIECE_ROWS) for start in range(0, table.num_rows, PIECE_ROWS)]
    FORMATS[name].write(Rows(table.schema, table.num_rows, lambda: pieces), Exports(), target)


def _python_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, table.num_rows, SLICE_ROWS):
        yield from table.slice(start, SLICE_ROWS).to_pylist()


def _pandas_csv(table: pa.Table, target: Path) -> None:
    _frame(table).to_csv(target, index=False, compression="gzip")


def _pandas_json(table: pa.Table, target: Path) -> None:
    _frame(table).to_json(target, orient="records", lines=True, date_format="iso", compression="gzip")


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _openpyxl(table: pa.Table, target: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(table.column_names)
    for row in _python_rows(table):
        row["at"] = row["at"].replace(tzinfo=None)
        sheet.append(list(row.values()))
    book.save(target)


def _fastavro(table: pa.Table, target: Path) -> None:
    with target.open("wb") as file:
        fastavro.writer(file, AVRO_SCHEMA, _python_rows(table), codec="snappy")


OTHERS: dict[Format, Other] = {
    "csv": Other("pandas", 8, _pandas_csv),
    "json": Other("pandas", 8, _pandas_json),
    "xlsx": Other("openpyxl, write only", 4, _openpyxl),
    "avro": Other("fastavro, row by row", 5, _fastavro),
}
