"""The table of crash points, from which every one of them is tried, is what the code names."""

import ast
from collections.abc import Iterator
from itertools import product

from shared.events.topology import SERVICES
from tests.support.crash_points import (
    COMPACTION,
    NEWS,
    OF_CHANGE_CAPTURE,
    OF_EVERY_SERVICE,
    OF_TABLES,
    POINTS,
)
from tests.support.records import ROOT


def calls(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "crashpoints.reach":
            yield node.args[0]


def strings(expression: ast.expr) -> Iterator[str]:
    """The names an argument may stand for; what comes from a variable is `*`."""
    if isinstance(expression, ast.Constant):
        yield str(expression.value)
    elif isinstance(expression, ast.IfExp):
        yield from strings(expression.body)
        yield from strings(expression.orelse)
    elif isinstance(expression, ast.FormattedValue):
        yield from strings(expression.value)
    elif isinstance(expression, ast.JoinedStr):
        for parts in product(*(list(strings(part)) for part in expression.values)):
            yield "".join(parts)
    else:
        yield "*"


def named_in_the_code() -> set[str]:
    return {
        name
        for folder in ("shared", "services")
        for file in (ROOT / folder).rglob("*.py")
        for argument in calls(ast.parse(file.read_text(encoding="utf-8")))
        for name in strings(argument)
    }


def test_the_table_has_exactly_the_points_that_the_code_names() -> None:
    found = named_in_the_code()
    table = {f"{service}.{point}" for service, points in POINTS.items() for point in points}
    table |= {f"cdc.{point}" for point in OF_CHANGE_CAPTURE}
    by_suffix = {name.removeprefix("*.") for name in found if name.startswith("*.")}
    literal = {name for name in found if not name.startswith("*.")}
    assert literal >= set(OF_TABLES)
    literal -= set(OF_TABLES)
    assert {name for name in literal if name.startswith("lake.")} == {f"lake.{point}" for point in COMPACTION}
    assert {name for name in literal if name.startswith("news.")} == {f"news.{point}" for point in NEWS}
    literal = {name for name in literal if not name.startswith(("lake.", "news."))}
    assert literal <= table
    assert {name.partition(".")[2] for name in table - literal} == by_suffix
    for suffix in OF_EVERY_SERVICE:
        assert {f"{service}.{suffix}" for service in SERVICES} <= table
