"""LibreOffice without a window: opens a file as its spreadsheet does, and tells what is in each cell."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree as ET

_T = TypeVar("_T")

MISSING = "LibreOffice is not installed: `apt-get install libreoffice-calc` (the program is soffice)"
WITHIN_S = 120

_NAMES = {
    short: f"{{urn:oasis:names:tc:opendocument:xmlns:{short}:1.0}}" for short in ("table", "office", "text")
}
MOST_REPEATED = 10_000
"""Empty cells at the end of a row or a sheet are told as one that comes this often or more."""


@dataclass(frozen=True, slots=True)
class Cell:
    kind: str | None
    """`float`, `string`, `boolean`, `date`, `time`; None: it is empty."""
    value: str
    shown: str
    """As a person sees it."""
    formula: str | None


def program() -> str | None:
    return shutil.which("soffice") or shutil.which("libreoffice")


def open_sheets(file: Path, folder: Path, csv_options: str | None = None) -> list[list[list[Cell]]]:
    """The cells of each sheet. `csv_options`: those of LibreOffice's filter, for a file that is CSV."""
    office = program()
    assert office is not None, MISSING
    filters = [] if csv_options is None else [f"--infilter=CSV:{csv_options}"]
    done = subprocess.run(
        (
            office,
            "--headless",
            f"-env:UserInstallation={(folder / 'profile').as_uri()}",
            *filters,
            *("--convert-to", "fods", "--outdir", str(folder / "opened"), str(file)),
        ),
        capture_output=True,
        timeout=WITHIN_S,
        check=False,
    )
    opened = folder / "opened" / f"{file.stem}.fods"
    assert opened.exists(), done.stderr.decode()
    return [list(_rows(sheet)) for sheet in ET.parse(opened).iter(f"{_NAMES['table']}table")]  # noqa: S314 - LibreOffice wrote it


def _rows(sheet: ET.Element) -> Iterator[list[Cell]]:
    for row in sheet.iter(f"{_NAMES['table']}table-row"):
        cells = [cell for found in row for cell in _repeated(found, "columns", _cell(found))]
        yield from _repeated(row, "rows", cells)


def _repeated(element: ET.Element, what: str, found: _T) -> Iterator[_T]:
    number = int(element.get(f"{_NAMES['table']}number-{what}-repeated", "1"))
    yield from [found] * (number if number < MOST_REPEATED else 1)


def _cell(element: ET.Element) -> Cell:
    office = _NAMES["office"]
    kind = element.get(f"{office}value-type")
    text = "\n".join(_text(part) for part in element.iter(f"{_NAMES['text']}p"))
    name = {"float": "value"}.get(kind or "", f"{kind}-value")
    return Cell(kind, element.get(f"{office}{name}", text), text, element.get(f"{_NAMES['table']}formula"))


def _text(element: ET.Element) -> str:
    found = element.text or ""
    for part in element:
        match part.tag.removeprefix(_NAMES["text"]):
            case "s":
                found += " " * int(part.get(f"{_NAMES['text']}c", "1"))
            case "tab":
                found += "\t"
            case "line-break":
                found += "\n"
            case _:
                found += _text(part)
        found += part.tail or ""
    return found
