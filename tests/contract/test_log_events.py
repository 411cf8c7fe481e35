"""docs/logs.md lists every event that a service logs, with its level: searches and alerts rely on the names."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.support.records import ROOT

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
LINE = re.compile(r"\| `(?P<event>[a-z_]+)` \| (?P<level>[a-z, ]+) \| (?P<says>.+) \|")
OUTAGE = ("warning", "info")


def logged() -> dict[str, set[str]]:
    """The levels of each event in the code. Fails for a name that is not constant."""
    found = defaultdict(set)
    for folder in ("services", "shared"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call):
                    for event, level in _events(call, str(file.relative_to(ROOT))):
                        found[event].add(level)
    return dict(found)


def _events(call: ast.Call, file: str) -> Iterator[tuple[str, str]]:
    match call.func:
        case ast.Attribute(value=ast.Name(id="log"), attr=attr) if attr in LEVELS:
            for name in _names(call.args[0]):
                if name is None:
                    assert file == "shared/runtime/background.py", f"{file}:{call.lineno}: no constant name"
                else:
                    yield name, LEVELS[attr]
        case ast.Name(id="Outage") if len(call.args) == len(OUTAGE):
            for argument, level in zip(call.args, OUTAGE, strict=True):
                for name in _names(argument):
                    assert name is not None, f"{file}:{call.lineno}: no constant name"
                    yield name, level


def _names(node: ast.expr) -> Iterator[str | None]:
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=body, orelse=other):
            yield from _names(body)
            yield from _names(other)
        case _:
            yield None


def documented() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (ROOT / "docs/logs.md").read_text(encoding="utf-8").splitlines():
        if entry := LINE.fullmatch(line):
            assert entry["event"] not in found, f"{entry['event']} is listed twice"
            found[entry["event"]] = set(entry["level"].split(", "))
    return found


def test_every_event_is_listed_with_its_level_and_no_other() -> None:
    assert documented() == logged()


def test_names_are_words_joined_by_underscores() -> None:
    assert [name for name in logged() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
