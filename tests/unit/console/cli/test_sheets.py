"""Refused rows as people and programs get them. Text of a source is shown, and never executed."""

import csv
import io
import json

import pytest
from rich.console import Console

from console.cli.sheets import CSV_COLUMNS, PAGE_ROWS, CsvTable, JsonLines, Screen, disarmed
from console.client.quarantine import QuarantinedRow

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\x9b31m"


def row(**changes: object) -> QuarantinedRow:
    values: dict[str, object] = {
        "dataset": "posts",
        "stage": "processor",
        "batch_id": "b" * 32,
        "position": 17,
        "reason": "type",
        "detail": "user_id: a text where int64 is expected",
        "url": "https://example.org/posts?_page=1",
        "raw": '{"id": 17, "userId": "abc"}',
        "raw_base64": None,
    }
    return QuarantinedRow(**(values | changes))  # type: ignore[arg-type]  # as the fields are


def on_screen(
    *rows: QuarantinedRow, width: int = 80, terminal: bool = True, several: bool = False
) -> list[str]:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=width, force_terminal=terminal, no_color=True, highlight=False))
    screen.begin(several=several)
    for one in rows:
        screen.add(one)
    screen.end("that is all")
    return _plain(out.getvalue()).splitlines()


def _plain(text: str) -> str:
    """Without the styles that rich itself writes."""
    for style in ("\x1b[2m", "\x1b[36m", "\x1b[0m"):
        text = text.replace(style, "")
    return text


def test_a_row_is_shown_with_its_place_its_reason_its_request_and_as_it_came() -> None:
    assert on_screen(row()) == [
        "position  reason  why",
        "      17  type    user_id: a text where int64 is expected",
        "    https://example.org/posts?_page=1",
        '    {"id": 17, "userId": "abc"}',
        "that is all",
    ]


def test_rows_of_several_datasets_are_aligned() -> None:
    shown = on_screen(
        row(), row(dataset="a_longer_name", reason="object_missing", position=123_456), several=True
    )
    whys = [line.index("user_id") for line in shown if "user_id" in line]
    assert len(set(whys)) == 1
    assert shown[0].index("why") == whys[0]


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_terminal_no_line_is_wider_than_it(width: int) -> None:
    shown = on_screen(row(raw="長" * 500, detail="x" * 500, url="u" * 500), width=width)
    assert max(map(len, shown)) <= width
    assert sum(line.endswith("…") for line in shown) == 3


def test_in_a_pipe_nothing_is_cut() -> None:
    shown = on_screen(row(raw="x" * 5000), width=80, terminal=False)
    assert f"    {'x' * 5000}" in shown


@pytest.mark.parametrize("field", ["dataset", "reason", "detail", "url", "raw", "raw_base64"])
def test_a_terminal_is_given_no_orders(field: str, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = row(**{field: HOSTILE})
    texts = ["\n".join(on_screen(hostile, several=True, width=200))]
    for sheet in (JsonLines(), CsvTable()):
        sheet.add(hostile)
        texts.append(capsys.readouterr().out)
    for text in texts:
        assert not set(text) & set("\x1b\x07\x9b\u202e")
        assert "owned" in text


def test_json_is_one_whole_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = JsonLines()
    sheet.begin(several=False)
    sheet.add(row(raw=f"{HOSTILE}\n\r\t" + "x" * 2**20))
    sheet.add(row(raw=None, raw_base64="/w==", position=None, url=None))
    sheet.end("not for programs")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["raw"] == f"{HOSTILE}\n\r\t" + "x" * 2**20
    assert (second["raw_base64"], second["source_position"], second["url"]) == ("/w==", None, None)
    assert "raw" not in second


def test_csv_has_every_row_whole_and_a_header_also_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = CsvTable()
    sheet.begin(several=False)
    raw = 'a "quoted", text\nof two lines' + "x" * 100_000
    sheet.add(row(raw=raw))
    sheet.add(row(raw=None, raw_base64="/w=="))
    sheet.end("not for programs")
    header, first, second = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert tuple(header) == CSV_COLUMNS
    assert dict(zip(header, first, strict=True))["raw"] == raw
    assert dict(zip(header, second, strict=True))["raw_base64"] == "/w=="
    assert dict(zip(header, second, strict=True))["raw"] == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\\x0d=1"),
        ("\n=1", "'\n=1"),
        ("a=1", "a=1"),
        ("", ""),
        ("'=1", "'=1"),
    ],
)
def test_a_spreadsheet_is_given_no_formula(text: str, shown: str) -> None:
    assert disarmed(text) == shown


def test_memory_is_a_page_of_rows_and_all_are_shown() -> None:
    rows = [row(position=number) for number in range(2 * PAGE_ROWS + 5)]
    shown = on_screen(*rows)
    assert sum("user_id" in line for line in shown) == len(rows)
    assert sum(line.startswith("position") for line in shown) == 1
