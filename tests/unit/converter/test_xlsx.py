"""Workbooks, read back by openpyxl and pandas."""

import base64
import datetime as dt
import errno
import json
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings

from services.converter.formats import xlsx
from shared.datasets.exports import Exports
from shared.errors import PermanentError
from tests.support.exports import UTC_TIMES, as_text, column_of, rows_of, tables, texts_table, write

ESCAPED = re.compile("_x([0-9A-F]{4})_")
"""How a workbook writes a character that XML cannot hold; openpyxl shows it as it is written."""


def sheets_of(file: Path) -> list[list[tuple[Any, ...]]]:
    """The cells of each sheet, the header first."""
    book = openpyxl.load_workbook(file)
    return [[tuple(cell.value for cell in row) for row in sheet.iter_rows()] for sheet in book.worksheets]


def cells_of(table: pa.Table, folder: Path, options: dict[str, Any] | None = None) -> list[Any]:
    """The cells of the column `value`."""
    [[_, *rows]] = sheets_of(write("xlsx", table, folder, options))
    return [row[1] for row in rows]


def plain(text: str) -> str:
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def value_of(cell: Any, kind: pa.DataType) -> Any:
    """What a reader makes of a cell who knows the column's type."""
    if cell is None:
        return None
    text = plain(cell) if isinstance(cell, str) else None
    if pa.types.is_string(kind):
        return text
    if pa.types.is_nested(kind):
        return json.loads(str(text))
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return base64.b64decode(str(text))
    return _number_of(cell, kind) if text is None else _parsed(text, kind)


def _number_of(cell: Any, kind: pa.DataType) -> Any:
    if pa.types.is_decimal(kind):
        return Decimal(repr(cell))
    if pa.types.is_date(kind):
        return cell.date()
    if pa.types.is_timestamp(kind):
        return cell.replace(tzinfo=dt.UTC)
    return cell


def _parsed(text: str, kind: pa.DataType) -> Any:
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_floating(kind):
        return float(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    if pa.types.is_duration(kind):
        return pd.Timedelta(text).to_pytimedelta()
    parse = dt.time if pa.types.is_time(kind) else dt.date if pa.types.is_date(kind) else dt.datetime
    return parse.fromisoformat(text)


@settings(deadline=None, max_examples=40)
@given(tables())
def test_every_value_is_read_back(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> None:
    file = write("xlsx", table, tmp_path_factory.mktemp("xlsx"), pieces=2)
    [[header, *rows]] = sheets_of(file)
    assert list(header) == table.column_names
    for place, field in enumerate(table.schema):
        expected = table.column(field.name).to_pylist()
        if field.type in {pa.string(), pa.binary()}:  # a cell without a text is an empty cell
            expected = [value or None for value in expected]
        if pa.types.is_nested(field.type):
            expected = [as_text(value) for value in expected]
        found = [value_of(row[place], field.type) for row in rows]
        if field.type == pa.float32():
            found = pa.array(found, pa.float32()).to_pylist()
        assert found + [None] * (len(expected) - len(found)) == expected, field


MOMENT = dt.datetime(2026, 11, 23, 4, 5, 6, 789000, dt.UTC)


@pytest.mark.parametrize(
    ("value", "kind", "cell", "style"),
    [
        (7, pa.int8(), 7, "General"),
        (10**15 - 1, pa.int64(), 10**15 - 1, "General"),
        (0.1, pa.float32(), 0.1, "General"),
        (1e300, pa.float64(), 1e300, "General"),
        (True, pa.bool_(), True, "General"),
        (Decimal("12.50"), pa.decimal128(12, 2), 12.5, "0.00"),
        (Decimal("-99999.9999999999"), pa.decimal128(38, 10), -99999.9999999999, "0.0000000000"),
        (dt.date(1900, 3, 1), pa.date32(), dt.datetime(1900, 3, 1), "yyyy-mm-dd"),  # noqa: DTZ001 - as Excel has it
        (dt.date(9999, 12, 31), pa.date32(), dt.datetime(9999, 12, 31), "yyyy-mm-dd"),  # noqa: DTZ001 - as Excel has it
        (MOMENT, UTC_TIMES, MOMENT.replace(tzinfo=None), "yyyy-mm-dd hh:mm:ss.000"),
        (dt.time(4, 5, 6), pa.time64("us"), dt.time(4, 5, 6), "hh:mm:ss.000"),
        (
            dt.timedelta(hours=30, seconds=1),
            pa.duration("us"),
            dt.timedelta(hours=30, seconds=1),
            "[h]:mm:ss.000",
        ),
    ],
)
def test_numbers_booleans_and_times_are_real_cells(
    tmp_path: Path, value: Any, kind: pa.DataType, cell: Any, style: str
) -> None:
    file = write("xlsx", column_of(value, kind), tmp_path)
    sheet = openpyxl.load_workbook(file).worksheets[0]
    assert (sheet["B2"].value, sheet["B2"].number_format) == (cell, style)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (10**15, pa.int64(), "1000000000000000"),
        (-(2**63), pa.int64(), "-9223372036854775808"),
        (Decimal("1234567890123456.78"), pa.decimal128(18, 2), "1234567890123456.78"),
        (float("nan"), pa.float64(), "NaN"),
        (float("-inf"), pa.float64(), "-inf"),
        (5e-324, pa.float64(), "5e-324"),
        (dt.date(1900, 2, 28), pa.date32(), "1900-02-28"),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), UTC_TIMES, "0001-01-01T00:00:00.000000Z"),
        (MOMENT + dt.timedelta(microseconds=1), UTC_TIMES, "2026-11-23T04:05:06.789001Z"),
        (dt.time(1, 2, 3, 4), pa.time64("us"), "01:02:03.000004"),
        (dt.timedelta(seconds=-1), pa.duration("us"), "-PT1S"),
    ],
)
def test_a_column_with_a_value_that_no_cell_holds_is_text(
    tmp_path: Path, value: Any, kind: pa.DataType, text: str
) -> None:
    table = pa.table({"id": [0, 1], "value": pa.array([value, None], kind)})
    assert cells_of(table, tmp_path) == [text, None]


def test_one_such_value_makes_the_whole_column_text_wherever_it_is(tmp_path: Path) -> None:
    table = pa.table({"id": range(5000), "value": pa.array([*range(4999), 10**17])})
    [[_, *rows]] = sheets_of(write("xlsx", table, tmp_path, pieces=3))
    assert [row[1] for row in rows] == [*map(str, range(4999)), "100000000000000000"]


def test_times_are_rounded_if_the_file_says_so(tmp_path: Path) -> None:
    table = column_of(MOMENT + dt.timedelta(microseconds=1), UTC_TIMES)
    assert cells_of(table, tmp_path, {"times": "round"}) == [MOMENT.replace(tzinfo=None)]


def test_the_header_is_frozen(tmp_path: Path) -> None:
    file = write("xlsx", column_of(1, pa.int64(), 3), tmp_path)
    assert openpyxl.load_workbook(file).worksheets[0].freeze_panes == "A2"


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 18, 19])
def test_rows_go_on_in_a_further_sheet_where_one_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 10)
    monkeypatch.setattr(xlsx, "SLICE_ROWS", 4)
    file = write("xlsx", pa.table({"id": pa.array(range(rows), pa.int64())}), tmp_path, pieces=2)
    sheets = sheets_of(file)
    assert len(sheets) == max(1, -(-rows // 9))
    assert [header for header, *_ in sheets] == [("id",)] * len(sheets)
    assert [row[0] for _, *sheet in sheets for row in sheet] == list(range(rows))
    assert all(sheet.freeze_panes == "A2" for sheet in openpyxl.load_workbook(file).worksheets)


def test_a_full_sheet_of_excel_and_one_row_more(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(range(1_048_576), pa.int32())})
    file = write("xlsx", table, tmp_path)
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/sheet")]
        assert len(names) == 2
        last = archive.read("xl/worksheets/sheet2.xml").decode()
    assert re.findall(r"<v>([0-9.]+)</v>", last) == ["1048575.0"]


def test_all_null_is_read_back(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "value": pa.nulls(2, pa.decimal128(9, 2)), "t": pa.nulls(2, pa.string())})
    [[header, *rows]] = sheets_of(write("xlsx", table, tmp_path))
    assert (header, rows) == (("id", "value", "t"), [(1, None, None), (2, None, None)])


def test_control_characters_make_no_broken_file(tmp_path: Path) -> None:
    texts = [chr(code) for code in range(0x20)] + ["\ufffe\uffff", "_x000D_", "a\r\nb", " ", "\t=1"]
    file = write("xlsx", texts_table(texts), tmp_path)
    [[_, *rows]] = sheets_of(file)  # openpyxl parses strictly
    assert [plain(row[1]) for row in rows] == texts
    assert pd.read_excel(file).shape == (len(texts), 2)


def test_a_text_that_is_longer_than_a_cell_is_refused_with_its_column(tmp_path: Path) -> None:
    assert cells_of(column_of("x" * 32_767, pa.string()), tmp_path) == ["x" * 32_767]
    with pytest.raises(PermanentError, match="column value: a text has 32,768 characters"):
        write("xlsx", column_of("x" * 32_768, pa.string()), tmp_path)
    with pytest.raises(PermanentError, match="column value: a text has 10,485,760 characters"):
        write("xlsx", column_of("x" * 10 * 2**20, pa.string()), tmp_path)


@pytest.mark.parametrize(("text", "kept"), [("x" * 40_000, 32_767), ("😀" * 20_000, 16_383)])
def test_it_is_cut_if_the_file_says_so(tmp_path: Path, text: str, kept: int) -> None:
    assert cells_of(column_of(text, pa.string()), tmp_path, {"long_texts": "cut"}) == [text[:kept]]


def test_a_full_disk_is_an_error_of_the_system() -> None:
    rows = rows_of(column_of("x" * 1000, pa.string(), 1000))
    with pytest.raises(OSError, match="No space left") as caught:
        xlsx.write(rows, Exports(), Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC
