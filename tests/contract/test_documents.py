"""What the documents name is there: every link, path, module, target and citation. A file that moves fails here."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from console.verify.findings import INVARIANTS
from tests.support.defects.catalog import ALL
from tests.support.records import ROOT

FOLDERS = ("console", "deploy", "docs", "services", "shared", "tests")
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
NAMES = {path.name for path in SOURCES} | {path.name for path in ROOT.iterdir()}

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for path in SOURCES if path.suffix == ".md")], key=str)
TELLS_OF_TODAY = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]

GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NUMBERED = set(re.findall(r"^\| ([CIF]\d+) \|", GUARANTEES, re.MULTILINE))

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
PATH = re.compile(rf"(?<![\w./$<>-])(?:{'|'.join(FOLDERS)})/[\w./<>*-]*")
FILE = re.compile(r"(?<![\w./<>*-])[\w-]+\.(?:py|sql|ya?ml|toml|lock|md|in)(?![\w/.])")
MODULE = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})(?:\.\w+)+(?![\w/*])")
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")

OF_OTHERS = {"compose.env", "orders.yaml", "dataset.json", "plan.json"}
"""File names in examples."""


def each(documents: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", documents, ids=lambda path: str(path.relative_to(ROOT)))


def code_of(document: Path) -> Iterator[str]:
    return (found[0] for found in CODE.finditer(document.read_text(encoding="utf-8")))


def anchors_of(document: Path) -> set[str]:
    """The anchors that MkDocs and Git hosts derive from headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_there(path: str) -> bool:
    """Whether the path exists; `<name>` stands for any name, `*` for anything."""
    pattern = re.sub(r"<[^>]*>", "*", path.rstrip("/."))
    return any(ROOT.glob(pattern)) if "*" in pattern else (ROOT / pattern).exists()


def module_is_there(name: str) -> bool:
    """Whether the name is a package, a module, or a name in a module."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        rest = parts[length:]
        if place.is_dir() and not rest:
            return True
        if (file := place.with_suffix(".py")).is_file():
            return not rest or (len(rest) == 1 and rest[0] in file.read_text(encoding="utf-8"))
    return False


@each(DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(CODE.sub("", document.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.exists(), target
        assert not anchor or anchor in anchors_of(place), target


@each(TELLS_OF_TODAY)
def test_every_path_that_is_named_is_there(document: Path) -> None:
    gone = [path for code in code_of(document) for path in PATH.findall(code) if not is_there(path)]
    names = [name for code in code_of(document) if code[:3] != "```" for name in FILE.findall(code)]
    gone += [name for name in names if name not in NAMES | OF_OTHERS]
    assert not gone


@each(TELLS_OF_TODAY)
def test_every_module_that_is_named_is_there(document: Path) -> None:
    for code in code_of(document):
        for name in MODULE.findall(code):
            assert name.rpartition(".")[2] in {"yaml", "py", "md"} or module_is_there(name), name


@each(TELLS_OF_TODAY)
def test_every_target_of_make_that_is_named_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for code in code_of(document):
        assert set(TARGET.findall(code)) <= targets


def test_every_decision_is_in_the_index_under_its_title() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    pages = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert pages
    for page in pages:
        number, title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(": ", 1)
        assert f"| [{number}]({page.name}) | {title} |" in index


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    def pages(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict | list):
            for part in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(part)

    named = set(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    docs = ROOT / "docs"
    assert {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} <= named
    assert {f"services/{path.parent.name}.md" for path in ROOT.glob("services/*/README.md")} <= named


def test_the_number_of_defects_that_the_checker_finds_is_that_of_the_catalog() -> None:
    assert f"each of {len(ALL)} single defects" in GUARANTEES


def test_every_invariant_of_the_checker_is_among_the_guarantees() -> None:
    assert {name for name in NUMBERED if name.startswith("I")} == {*INVARIANTS, "I8"}
    assert set(re.findall(r"^\| (I\d+) \|", (ROOT / "docs" / "verify.md").read_text(), re.MULTILINE)) == set(
        INVARIANTS
    )


@pytest.mark.parametrize(
    "source",
    [path for path in SOURCES if path.suffix in {".py", ".sql", ".yaml"} and "docs/" in path.read_text()],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_page_that_the_code_cites_is_there(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    for page in re.findall(r"(?<![\w/.])docs/(?:adr|deploy)?/?[\w-]+(?:\.md)?", text):
        assert any(ROOT.glob(f"{page}*")), page
    for cited in re.findall(r"docs/guarantees\.md,? ([CIF]\d+)", text):
        assert cited in NUMBERED, cited


def test_no_picture_loads_anything() -> None:
    pictures = sorted((ROOT / "docs").rglob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|url\([^#]|<script|<image|@import", text), picture.name
