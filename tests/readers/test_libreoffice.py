"""LibreOffice opens workbooks and CSV: every value is there, and no text is a formula."""

import csv
import datetime as dt
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.events.names import Format
from tests.readers.conftest import Open
from tests.readers.office import Cell
from tests.readers.source import NESTED, NO_NUMBERS_COLUMNS, TYPES, stored
from tests.readers.values import differences, value_of
from tests.support.formulas import RUN

pytestmark = [pytest.mark.readers, pytest.mark.timeout(240)]

COMMA_QUOTE_UTF8 = "44,34,76,1"
"""Delimiter, quote, character set, first line: as its dialog offers them. What begins with = becomes a formula."""

BOOLEANS = {"of:=TRUE()", "of:=FALSE()"}
"""How it shows the booleans of a workbook."""


def shown(text: str) -> str:
    """It has one kind of line's end, and its own files cannot tell control characters."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "", re.sub("\r\n?", "\n", text))


def columns_of(sheet: list[list[Cell]], rows: int) -> dict[str, list[Cell]]:
    empty = Cell(None, "", "", None)
    header = [cell.value for cell in sheet[0] if cell.kind is not None]
    return {
        name: [row[place] if place < len(row) else empty for row in sheet[1 : rows + 1]]
        for place, name in enumerate(header)
    }


def found_of(column: str, cell: Cell) -> Any:
    """What the cell holds for a reader who knows the column's type."""
    match cell.kind:
        case None:
            return None
        case "string":
            return value_of(column, json.loads(cell.value) if column in NESTED else cell.value)
        case "date":
            # Its files have hundredths of a second.
            moment = dt.datetime.fromisoformat(cell.shown).replace(tzinfo=dt.UTC)
            return moment.date() if TYPES[column] == "date" else moment
        case _ if column == "flag":
            return bool(float(cell.value))
    is_decimal = TYPES.get(column, "").startswith("decimal")
    return value_of(column, cell.value if is_decimal else float(cell.value))


def expected_of(column: str, values: list[Any]) -> list[Any]:
    """An empty text and empty bytes are empty cells, and it forgets the sign of a zero."""
    if TYPES.get(column) in {"string", "binary"}:
        values = [value or None for value in values]
    values = [value + 0.0 if isinstance(value, float) else value for value in values]
    return [shown(value) or None if isinstance(value, str) else value for value in values]


@pytest.fixture(scope="module")
def workbook(open_sheets: Open, files: dict[Format, Path]) -> dict[str, list[Cell]]:
    [sheet] = open_sheets(files["xlsx"])
    return columns_of(sheet, stored(tuple(TYPES)).num_rows)


@pytest.mark.parametrize("column", ["id", *TYPES])
def test_every_value_of_a_workbook_is_that_of_the_source(
    workbook: dict[str, list[Cell]], column: str
) -> None:
    expected = expected_of(column, stored(tuple(TYPES))[column].to_pylist())
    found = expected_of(column, [found_of(column, cell) for cell in workbook[column]])
    assert differences(expected, found) == []


def test_no_cell_of_a_workbook_is_a_formula(workbook: dict[str, list[Cell]]) -> None:
    formulas = {name: {cell.formula for cell in cells} - {None} for name, cells in workbook.items()}
    assert {name: found for name, found in formulas.items() if found} == {"flag": BOOLEANS}
    assert {cell.kind for cell in workbook["text"]} == {"string", None}


@pytest.mark.parametrize("column", NO_NUMBERS_COLUMNS)
def test_infinities_are_texts_in_a_workbook(
    open_sheets: Open, odd_files: dict[Format, Path], column: str
) -> None:
    table = stored(NO_NUMBERS_COLUMNS)
    [sheet] = open_sheets(odd_files["xlsx"])
    found = [
        None if cell.kind is None else float(cell.value) for cell in columns_of(sheet, table.num_rows)[column]
    ]
    assert differences(table[column].to_pylist(), found) == []


def as_texts(columns: int) -> str:
    """Every column as text: what people choose who want the characters as they are."""
    return f"{COMMA_QUOTE_UTF8},{'/'.join(f'{place + 1}/2' for place in range(columns))}"


def test_the_csv_has_the_same_texts_as_for_a_reader_of_rfc_4180(
    open_sheets: Open, files: dict[Format, Path]
) -> None:
    text = files["csv"].read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    [sheet] = open_sheets(files["csv"], as_texts(len(header)))
    found = columns_of(sheet, len(rows))
    for place, name in enumerate(header):
        assert [cell.value for cell in found[name]] == [shown(row[place]) for row in rows], name


def test_every_value_of_the_csv_is_that_of_the_source(open_sheets: Open, files: dict[Format, Path]) -> None:
    table = stored(tuple(TYPES))
    [sheet] = open_sheets(files["csv"], as_texts(table.num_columns))
    for name, cells in columns_of(sheet, table.num_rows).items():
        expected = expected_of(name, table[name].to_pylist())
        if name in {"text", "doc"}:  # an apostrophe keeps what would be a formula from being run
            assert [cell.value.removeprefix("'") for cell in cells] == [
                (text or "").removeprefix("'") for text in expected
            ]
        else:
            found = expected_of(name, [found_of(name, cell) for cell in cells])
            assert differences(expected, found) == [], name


def test_no_text_of_the_csv_is_run_by_its_usual_import(open_sheets: Open, files: dict[Format, Path]) -> None:
    [sheet] = open_sheets(files["csv"], COMMA_QUOTE_UTF8)
    assert [cell for row in sheet for cell in row if cell.formula is not None] == []


def test_that_import_would_run_texts_that_are_not_escaped(open_sheets: Open, tmp_path: Path) -> None:
    """What the test before this one is worth."""
    file = tmp_path / "raw.csv"
    with file.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([[text] for text in RUN if "\0" not in text])
    [sheet] = open_sheets(file, COMMA_QUOTE_UTF8)
    assert len([cell for row in sheet for cell in row if cell.formula is not None]) > 5
