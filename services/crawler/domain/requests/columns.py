"""Values of columns that are not in the record itself: of its unit, its page, its request. They are put into its line.

A line is the record as it came, with further members behind its own: `$each`, `$parent`, `$window`, `$param`, `$key`,
`$page`, `$url`, `$hash`, `$fetched_at`, `$record`, `$column`. Later stages read them as they read any other key.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.crawler.domain.json_structure import BLANK, on_one_line
from services.crawler.domain.requests.conditions import Subject
from services.crawler.domain.requests.lookup import NOT_READABLE, Json, find, find_all, read
from shared.datasets.column import Column
from shared.datasets.paths import format_path
from shared.datasets.sources.json_paths import parse_json_path
from shared.datasets.sources.moments import read_moment, write_moment

OF_UNIT = ("each", "parent", "window")
ROOTS = frozenset(
    {
        "$each",
        "$parent",
        "$window",
        "$param",
        "$key",
        "$page",
        "$record",
        "$hash",
        "$url",
        "$fetched_at",
        "$value",
    }
)
"""What a column may be taken from besides the record."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """Which values a dataset's columns need."""

    wanted: frozenset[str] = frozenset()
    """Roots."""
    pages: tuple[str, ...] = ()
    """Paths in the page around the records."""
    computed: tuple[Column, ...] = ()
    """Columns with a constant, several places, or a list that is joined."""
    params: Mapping[str, Any] = field(default_factory=dict)
    shown_url: str = ""

    @property
    def is_used(self) -> bool:
        return bool(self.wanted or self.pages or self.computed)

    @classmethod
    def of(cls, columns: Iterable[Column], params: Mapping[str, Any]) -> "ColumnValues":
        columns = list(columns)
        keys = [column.path for column in columns]
        return cls(
            wanted=frozenset(path[0] for path in keys if path[0] in ROOTS),
            pages=tuple(format_path(path[1:]) for path in keys if path[0] == "$page" and len(path) > 1),
            computed=tuple(column for column in columns if column.is_composed),
            params=params,
        )

    def line(self, record: Json, subject: Subject, unit: Mapping[str, Any], key: str) -> bytes:
        """The line of a record. Costs a copy of it; reading it where columns are composed."""
        text = on_one_line(bytes(record)).strip(BLANK)
        more = self._more(text, subject, unit, key)
        if not more or not (text.startswith(b"{") and text.endswith(b"}")):
            return text
        added = msgspec.json.encode(more)
        inside = text[1:-1].strip(BLANK)
        return b"{" + (inside + b"," if inside else b"") + added[1:]

    def _more(self, text: bytes, subject: Subject, unit: Mapping[str, Any], key: str) -> dict[str, Any]:
        more: dict[str, Any] = {}
        for root in OF_UNIT:
            values = {
                name.partition(".")[2]: value for name, value in unit.items() if name.startswith(f"{root}.")
            }
            if values and f"${root}" in self.wanted:
                more[f"${root}"] = values
        values = {
            "$param": lambda: dict(self.params),
            "$key": lambda: key,
            "$hash": lambda: hashlib.sha256(text).hexdigest(),
            "$url": lambda: subject.url,
            "$fetched_at": lambda: datetime.now(UTC).isoformat(),
            "$record": lambda: msgspec.Raw(text),
        }
        more |= {root: value() for root, value in values.items() if root in self.wanted}
        if self.pages:
            more["$page"] = _page_values(subject.body, self.pages)
        if self.computed:
            more["$column"] = {column.name: _composed(column, text) for column in self.computed}
        return more


def _page_values(body: Json, paths: Iterable[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in paths:
        keys = [str(step) for step in parse_json_path(path)]
        holder = values
        for step in keys[:-1]:
            holder = holder.setdefault(step, {})
        try:
            found = find(body, path)
        except NOT_READABLE:
            found = None
        holder[keys[-1]] = None if found is None else msgspec.Raw(bytes(found))
    return values


def _composed(column: Column, record: bytes) -> Any:
    """A constant; the first of several places that is there; or the texts of all of them, joined."""
    if column.const is not None:
        return column.const
    if column.join is not None:
        texts = [text for path in column.places for text in _texts(record, path)]
        return column.join.join(texts) if texts else None
    for path in column.places:
        try:
            found = find(record, path)
        except NOT_READABLE:
            return None
        if found is not None and bytes(found).strip(BLANK) != b"null":
            return _moment(column, found) if column.is_unix else msgspec.Raw(bytes(found))
    return None


def _moment(column: Column, found: Json) -> Any:
    """A number as a time; what is no such number stays as it is, for the processor to refuse."""
    try:
        moment = read_moment(read(found), (column.format or "",))
    except NOT_READABLE:
        moment = None
    return msgspec.Raw(bytes(found)) if moment is None else write_moment(moment)


def _texts(record: bytes, path: str) -> list[str]:
    try:
        values = [read(found) for found in find_all(record, parse_json_path(path))]
    except NOT_READABLE:
        return []
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [
        one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in flat if one is not None
    ]
