"""Whether a condition of a dataset file holds, of an answer or of a record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from yarl import URL

from services.crawler.domain import urls
from services.crawler.domain.requests.lookup import NOT_READABLE, Json, find_all, read
from shared.datasets.sources.conditions import Condition
from shared.datasets.sources.json_paths import parse_json_path

Headers = Mapping[str, tuple[str, ...]]

MAX_LOOKED_AT_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What conditions look at. Of a record there are no headers."""

    body: Json
    headers: Headers = field(default_factory=dict)
    url: str = ""

    def header(self, name: str) -> str | None:
        values = self.headers.get(name.lower())
        return values[0].strip() if values else None

    def link(self, name: str) -> str | None:
        return link_value(self.headers, self.url, name)


def link_value(headers: Headers, url: str, name: str) -> str | None:
    """The parameter of this name in the URL that `Link: rel=next` names; None where there is none."""
    try:
        named = urls.next_by_link(headers.get("link", ()), url)
    except urls.CursorError:
        return None
    return None if named is None else URL(named).query.get(name)


def holds(condition: Condition, subject: Subject) -> bool:
    """A body that cannot be read has nothing in it."""
    if condition.any is not None:
        return any(holds(one, subject) for one in condition.any)
    if condition.all is not None:
        return all(holds(one, subject) for one in condition.all)
    is_there, value = _value(condition, subject)
    return all(_tests(condition, value, is_there=is_there))


def _value(condition: Condition, subject: Subject) -> tuple[bool, Any]:
    if condition.header is not None:
        text = subject.header(condition.header)
        return text is not None, text
    if condition.link is not None:
        text = subject.link(condition.link)
        return text is not None, text
    if condition.text:
        return True, bytes(memoryview(subject.body)[:MAX_LOOKED_AT_CHARS]).decode("utf-8", "replace")
    path = parse_json_path(condition.path or "")
    try:
        found = [read(value) for value in find_all(subject.body, path)]
    except NOT_READABLE:
        return False, None
    if ... in path:
        return bool(found), found
    return bool(found), found[0] if found else None


def _tests(condition: Condition, value: Any, *, is_there: bool) -> list[bool]:
    """The outcome of each test that the file writes."""
    outcomes: dict[str, Callable[[], bool]] = {
        "equals": lambda: _same(value, condition.equals),
        "not_": lambda: not _same(value, condition.not_),
        "in_": lambda: any(_same(value, one) for one in condition.in_ or ()),
        "not_in": lambda: not any(_same(value, one) for one in condition.not_in or ()),
        "like": lambda: (
            isinstance(value, str) and fnmatchcase(value, (condition.like or "").replace("[", "[[]"))
        ),
        "contains": lambda: _contains(value, condition.contains or ""),
        "exists": lambda: (is_there and value is not None) == condition.exists,
        "empty": lambda: (value in (None, "", [], {})) == condition.empty,
        "at_least": lambda: _order(value, condition.at_least) in {0, 1},
        "below": lambda: _order(value, condition.below) == -1,
    }
    return [outcome() for name, outcome in outcomes.items() if name in condition.model_fields_set]


def _same(value: Any, other: Any) -> bool:
    """A header is a text: it equals the number that it writes."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other or (isinstance(value, str) and value.lower() == str(other).lower())
    return bool(value == other) or (value is not None and other is not None and str(value) == str(other))


def _contains(value: Any, part: str) -> bool:
    if isinstance(value, list):
        return any(_contains(one, part) for one in value)
    return isinstance(value, str) and part in value


def _order(value: Any, other: Any) -> int | None:
    """-1, 0 or 1; None where the two cannot be compared."""
    if value is None:
        return None
    try:
        first, second = float(value), float(other)
    except (TypeError, ValueError):
        if not (isinstance(value, str) and isinstance(other, str)):
            return None
        return (value > other) - (value < other)
    return (first > second) - (first < second)
