"""Texts of a request with placeholders: `{page}`, `{each.repo}`, `{window.from:unix}`. Pure.

A placeholder is replaced by a value, never executed. `{{` and `}}` are braces.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator

from shared.datasets.faults import FaultError
from shared.datasets.fields import MAX_TEXT_CHARS

ROOTS = frozenset(
    {
        "columns",
        "cursor",
        "each",
        "now",
        "offset",
        "page",
        "param",
        "parent",
        "secret",
        "since",
        "size",
        "token",
        "window",
    }
)
"""What the name of a placeholder begins with."""

_NAMED = frozenset({"each", "param", "parent", "secret", "window"})
"""Roots that a name follows."""

_FORMS = re.compile(r"(?:rfc3339|date|unix|unix_ms|unix_us|days|csv|json|int|text|.*%.+)\Z", re.DOTALL)
_HOLE = re.compile(r"\{\{|\}\}|\{([a-z_]+(?:\.[a-z0-9_]+)*)(?::([^{}]+))?\}")

MAX_QUERY_CHARS = 100_000
"""Of a text that is sent as a body."""

MAX_TEMPLATE_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Placeholder:
    name: str
    form: str = ""
    """How the value is written; "": as its type is."""

    @property
    def root(self) -> str:
        return self.name.partition(".")[0]

    @property
    def rest(self) -> str:
        return self.name.partition(".")[2]


Part = str | Placeholder


@lru_cache(maxsize=4096)
def parse_text(text: str) -> tuple[Part, ...]:
    """The literal pieces and placeholders of a text, in order. Raises `FaultError` with what to write."""
    parts: list[Part] = []
    at = 0
    for found in _HOLE.finditer(text):
        _add_literal(parts, text[at : found.start()])
        at = found.end()
        if found[1] is None:
            parts.append(found[0][0])
            continue
        parts.append(_placeholder(found[1], found[2] or ""))
    _add_literal(parts, text[at:])
    return tuple(parts)


def _add_literal(parts: list[Part], literal: str) -> None:
    if "{" in literal or "}" in literal:
        raise FaultError(
            f"a brace is no placeholder here: write {{{{ or }}}} for a brace, in {literal[:60]!r}"
        )
    if literal:
        parts.append(literal)


def _placeholder(name: str, form: str) -> Placeholder:
    made = Placeholder(name, form)
    if made.root not in ROOTS:
        raise FaultError(f"there is no placeholder {{{name}}}: there are {', '.join(sorted(ROOTS))}")
    if (made.root in _NAMED) != bool(made.rest):
        hint = f"{{{made.root}.name}}" if made.root in _NAMED else f"{{{made.root}}}"
        raise FaultError(f"{{{name}}} is not a placeholder: write {hint}")
    if made.root == "window" and made.rest not in {"from", "to"}:
        raise FaultError(f"{{{name}}} is not a placeholder: there are {{window.from}} and {{window.to}}")
    if form and not _FORMS.match(form):
        raise FaultError(
            f"{form!r} is not a format: there are rfc3339, date, unix, unix_ms, unix_us, days, csv, json, int, text "
            "and patterns such as %Y-%m-%d"
        )
    return made


def placeholders_in(value: Any) -> Iterator[Placeholder]:
    """Those of every text inside a value, keys included."""
    if isinstance(value, str):
        yield from (part for part in parse_text(value) if isinstance(part, Placeholder))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from placeholders_in(key)
            yield from placeholders_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from placeholders_in(inner)


def as_json(value: Any, depth: int = 0) -> Any:
    """A value of a file as JSON has it: days and times become texts. Raises `FaultError` for what is too deep."""
    if depth > MAX_TEMPLATE_DEPTH:
        raise FaultError(f"it is nested more than {MAX_TEMPLATE_DEPTH} levels deep")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner, depth + 1) for inner in value]
    return value


def as_tuple(value: Any) -> Any:
    """One value where a list may stand is a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _checked_text(text: str) -> str:
    if len(text) > MAX_QUERY_CHARS:
        raise FaultError(f"it has {len(text):,} characters: at most {MAX_QUERY_CHARS:,} are taken")
    parse_text(text)
    return text


def _checked(value: Any) -> Any:
    value = as_json(value)
    for _ in placeholders_in(value):
        pass
    return value


def _one_line(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise FaultError(f"it has {len(text):,} characters: at most {MAX_TEXT_CHARS:,} are taken")
    if not text.isprintable():
        raise FaultError("it holds a character that cannot be printed")
    return text


LongTemplate = Annotated[str, AfterValidator(_checked_text)]
"""A text of any lines, with placeholders."""

TextTemplate = Annotated[str, AfterValidator(_one_line), AfterValidator(_checked_text)]
"""A text on one line, with placeholders."""

Template = Annotated[Any, AfterValidator(_checked)]
"""Any JSON with placeholders in its texts."""
