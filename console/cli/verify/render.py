"""The findings as people read them."""

from collections.abc import Iterable
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.formatting import number, one_line, quantity
from console.verify.findings import INVARIANTS, Findings, Violation

SHOWN = 20
"""Violations of each invariant that are shown. Those of one message about several subjects are one line."""


def render(findings: Findings) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("invariant")
    table.add_column("checked", justify="right")
    table.add_column("violations", justify="right")
    table.add_column("")
    for name, statement in INVARIANTS.items():
        if name not in findings.checked and not findings.wrong[name]:
            table.add_row(
                name, Text(statement, "dim"), Text("-", "dim"), Text("-", "dim"), Text("not asked", "dim")
            )
            continue
        wrong = findings.wrong[name]
        verdict = Text("violated", "red bold") if wrong else Text("holds", "green")
        table.add_row(name, statement, number(findings.checked[name]), number(wrong), verdict)
    parts: list[RenderableType] = [table]
    for name, group in groupby(sorted(findings.violations, key=lambda v: list(INVARIANTS).index(v.invariant)),
                               key=lambda v: v.invariant):  # fmt: skip
        folded = fold(group)[:SHOWN]
        parts.append(Text(""))
        parts += [_line(first, alike) for first, alike in folded]
        if (more := findings.wrong[name] - sum(1 + alike for _, alike in folded)) > 0:
            parts.append(Text(f"{name}  and {number(more)} more", "red"))
    if findings.notes:
        parts.append(Text(""))
        parts += [Text(f"note: {one_line(note)}", "dim") for note in findings.notes[:SHOWN]]
    total = findings.wrong.total()
    parts.append(Text(""))
    parts.append(
        Text(f"{quantity(total, 'violation')}", "red bold")
        if total
        else Text(f"all of it holds: {quantity(findings.checked.total(), 'check')}", "green")
    )
    return Group(*parts)


def fold(violations: Iterable[Violation]) -> list[tuple[Violation, int]]:
    """The first of those with one message, and how many more there are of it; in the order of the first ones."""
    groups: dict[str, list[Violation]] = {}
    for violation in violations:
        groups.setdefault(violation.message, []).append(violation)
    return [(group[0], len(group) - 1) for group in groups.values()]


def _line(first: Violation, alike: int) -> Text:
    more = f" and {number(alike)} more" if alike else ""
    subject = (one_line(first.subject), "bold")
    return Text.assemble((f"{first.invariant}  ", "red"), subject, more, ": ", one_line(first.message))


def show(findings: Findings) -> None:
    Console().print(render(findings), highlight=False, soft_wrap=True)
