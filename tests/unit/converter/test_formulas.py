"""A text that a spreadsheet would run is a text in every export."""

import csv
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.support.exports import texts_table, write
from tests.support.formulas import HARMLESS, RUN


def csv_rows(folder: Path, texts: tuple[str, ...], options: dict[str, Any] | None = None) -> list[str]:
    text = gzip.decompress(write("csv", texts_table(texts), folder, options).read_bytes()).decode()
    delimiter = (options or {}).get("delimiter", ",")
    return [row[1] for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)][1:]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"delimiter": ";"},
    {"quote": "all"},
    {"null_text": "\\N", "delimiter": "\t"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_csv_escapes_what_would_run_and_nothing_else(tmp_path: Path, options: dict[str, Any]) -> None:
    assert csv_rows(tmp_path, RUN, options) == ["'" + text for text in RUN]
    assert csv_rows(tmp_path, HARMLESS, options) == list(HARMLESS)


def test_a_workbook_has_texts_and_no_formula(tmp_path: Path) -> None:
    file = write("xlsx", texts_table(RUN), tmp_path)
    with zipfile.ZipFile(file) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
        assert not [
            name for name in archive.namelist() if "external" in name.lower() or "calc" in name.lower()
        ]
    assert b"<f" not in sheet
    cells = [row[1] for row in openpyxl.load_workbook(file).worksheets[0].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert len(cells) == len(RUN) >= 20


def test_a_text_like_an_address_is_no_link(tmp_path: Path) -> None:
    file = write("xlsx", texts_table(["http://evil.example/", "mailto:a@example.org"]), tmp_path)
    with zipfile.ZipFile(file) as archive:
        assert b"hyperlink" not in archive.read("xl/worksheets/sheet1.xml")
