"""Refused rows on a screen, as JSON, and as CSV. What a terminal or a spreadsheet would obey instead of show is spelt."""

import csv
import json
import sys
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from console.cli.cells import cut
from console.cli.result import escaped
from console.formatting import one_line, printable

if TYPE_CHECKING:
    from console.client.quarantine import QuarantinedRow

PAGE_ROWS = 100
"""Rows of which the widths of the columns are taken; later rows keep them."""

LONGEST_CHARS = 10_000
"""Of one text where no terminal's width cuts it; --json and --csv have all of it."""

MAX_REASON_WIDTH = 14
MAX_DATASET_WIDTH = 24
GAP = "  "

CSV_COLUMNS = (
    "dataset",
    "source_position",
    "reason",
    "detail",
    "url",
    "raw",
    "raw_base64",
    "stage",
    "batch_id",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class Sheet(Protocol):
    def begin(self, *, several: bool) -> None:
        """`several`: rows of more than one dataset may come."""

    def add(self, row: "QuarantinedRow") -> None: ...

    def end(self, words: str) -> None:
        """`words`: what was shown, in a sentence for people."""


class JsonLines:
    """One object a line, whole."""

    def begin(self, *, several: bool) -> None:
        pass

    def add(self, row: "QuarantinedRow") -> None:
        print(escaped(json.dumps(row.document(), ensure_ascii=False, separators=(",", ":"))))

    def end(self, words: str) -> None:
        pass


class CsvTable:
    """As RFC 4180 has it: CRLF, quotes doubled. All texts are whole."""

    def __init__(self) -> None:
        self._rows = csv.writer(sys.stdout)

    def begin(self, *, several: bool) -> None:  # noqa: ARG002 - the columns are always the same
        self._rows.writerow(CSV_COLUMNS)

    def add(self, row: "QuarantinedRow") -> None:
        document = row.document()
        self._rows.writerow([_cell(document.get(name)) for name in CSV_COLUMNS])

    def end(self, words: str) -> None:
        pass


def _cell(value: object) -> object:
    return disarmed(value) if isinstance(value, str) else value


def disarmed(text: str) -> str:
    """A text that a spreadsheet shows and does not run, and that no terminal obeys."""
    return printable(f"'{text}" if text.startswith(FORMULA_STARTS) else text)


class Screen:
    """Three lines a row: why, the request, and the row as it came. Cut at the edge of a terminal, else whole."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._several = False
        self._page: list[QuarantinedRow] = []
        self._widths: tuple[int, int, int] | None = None

    def begin(self, *, several: bool) -> None:
        self._several = several

    def add(self, row: "QuarantinedRow") -> None:
        self._page.append(row)
        if len(self._page) >= PAGE_ROWS:
            self._print_page()

    def end(self, words: str) -> None:
        self._print_page()
        self._console.print(Text(one_line(words)), soft_wrap=True)

    def _print_page(self) -> None:
        if self._page and self._widths is None:
            self._widths = self._widths_of(self._page)
            self._print(self._columns("dataset", "position", "reason", "why"), "dim")
        for row in self._page:
            self._print_row(row)
        self._page = []

    def _widths_of(self, page: "list[QuarantinedRow]") -> tuple[int, int, int]:
        names = max(cell_len(one_line(row.dataset)) for row in page)
        reasons = max(cell_len(one_line(row.reason)) for row in page)
        places = max(len(_position(row)) for row in page)
        return (
            max(len("dataset"), min(names, MAX_DATASET_WIDTH)),
            max(len("position"), places),
            max(len("reason"), min(reasons, MAX_REASON_WIDTH)),
        )

    def _columns(self, dataset: str, position: str, reason: str, why: str) -> str:
        widths = self._widths or (0, 0, 0)
        name = [cut(dataset, widths[0])] if self._several else []
        return GAP.join([*name, position.rjust(widths[1]), cut(reason, widths[2]), why])

    def _print_row(self, row: "QuarantinedRow") -> None:
        self._print(
            self._columns(
                one_line(row.dataset),
                _position(row),
                one_line(row.reason),
                one_line(row.detail[:LONGEST_CHARS]) or "no detail",
            )
        )
        if row.url:
            self._print(f"    {one_line(row.url[:LONGEST_CHARS])}", "dim")
        self._print(f"    {_as_it_came(row)}", "cyan")

    def _print(self, line: str, style: str = "") -> None:
        if self._console.is_terminal:
            line = cut(line, self._console.width).rstrip()
        self._console.print(Text(line, style), soft_wrap=True)


def _position(row: "QuarantinedRow") -> str:
    return "-" if row.position is None else str(row.position)


def _as_it_came(row: "QuarantinedRow") -> str:
    if row.raw_base64 is not None:
        return f"(no text, in base64) {one_line(row.raw_base64[:LONGEST_CHARS])}"
    return one_line((row.raw or "")[:LONGEST_CHARS]) or "(nothing)"
