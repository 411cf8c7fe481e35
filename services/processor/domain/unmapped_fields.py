"""Counts the values of fields that the dataset's file does not name. An unnamed object or array counts once."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.parse_schema import Tree, graft
from shared.datasets.paths import format_path
from shared.events.models import MAX_UNNAMED_FIELDS

OBSERVED_LINES = 200
FIRST_OBSERVED_BYTES = 2**18
OBSERVED_BYTES = 2**14
"""Of a batch's first chunk and of each later one, to find the unnamed fields; the parser then counts them in all of it."""

MAX_FIELDS = 256
"""More unnamed fields than this are not counted: objects that are used as maps would cost a column per key."""

MAX_NAME_CHARS = 256

MAX_NAME_SHOWN_CHARS = 200

_Path = tuple[str, ...]


class UnnamedFields:
    """The unnamed fields of one batch, by what was seen of them so far.

    Exact where a field shows up among the observed lines with one JSON type; what is rarer is not counted.
    """

    def __init__(self, named: Tree) -> None:
        self._named = named
        self._found: dict[_Path, pa.DataType | None] = {}
        self._names: set[str] = set()
        self._trusted = True
        self._has_observed = False

    def names(self) -> tuple[str, ...]:
        """Some of them, sorted, as a file would write them: also those that were only null, or of many types."""
        return tuple(sorted(self._names)[:MAX_UNNAMED_FIELDS])

    def observe(self, chunk: bytes) -> None:
        is_long = chunk.find(b"\n", 0, OBSERVED_BYTES) < 0
        most = OBSERVED_BYTES if self._has_observed and not is_long else FIRST_OBSERVED_BYTES
        self._has_observed = True
        for line in chunk[:most].split(b"\n", OBSERVED_LINES)[:OBSERVED_LINES]:
            try:
                record = json.loads(line)
                if isinstance(record, dict):
                    self._observe(record, self._named, ())
            except (
                ValueError,
                RecursionError,
            ):  # also of a value that was read, but is too deep to be looked into
                continue

    def saw(self, names: Iterable[str]) -> None:
        """The fields at the top of a record, where they are known without a look at it."""
        for name in names:
            if name not in self._named and len(name) <= MAX_NAME_CHARS:
                self._name((name,))

    def distrust(self) -> None:
        """A field was not of the type it was seen with: none is counted from here on, only named."""
        self._found, self._trusted = {}, False

    def tree(self) -> Tree:
        """The named tree with the unnamed fields grafted on."""
        tree = copy_tree(self._named)
        for path, kind in self._countable():
            graft(tree, path, kind)
        return tree

    def count(self, table: pa.Table) -> int:
        """Values in a table that was read with `tree`."""
        return sum(table.num_rows - value_at(table, path).null_count for path, _ in self._countable())

    def _countable(self) -> list[tuple[_Path, pa.DataType]]:
        return [(path, kind) for path, kind in self._found.items() if kind is not None]

    def _observe(self, record: dict[str, Any], named: Tree, above: _Path) -> None:
        for key, value in record.items():
            child = named.get(key)
            if isinstance(child, dict):
                if isinstance(value, dict):
                    self._observe(value, child, (*above, key))
            elif child is None:
                if len(key) <= MAX_NAME_CHARS:
                    self._name((*above, key))
                if _is_plain(key):
                    self._learn((*above, key), value)

    def _name(self, path: _Path) -> None:
        if len(self._names) < MAX_FIELDS:
            self._names.add(_as_yaml(format_path(path))[:MAX_NAME_SHOWN_CHARS])

    def _learn(self, path: _Path, value: Any) -> None:
        if value is None or not self._trusted:
            return
        kind = _kind(value)
        if path in self._found:
            if self._found[path] != kind:
                self._found[path] = None
        elif len(self._found) < MAX_FIELDS:
            self._found[path] = kind


def count_unnamed(record: dict[str, Any], named: Tree) -> int:
    """As `UnnamedFields`, of a single record, exactly."""
    count = 0
    for key, value in record.items():
        child = named.get(key)
        if isinstance(child, dict):
            count += count_unnamed(value, child) if isinstance(value, dict) else 0
        elif child is None and value is not None:
            count += 1
    return count


def value_at(table: pa.Table, path: _Path) -> "pa.ChunkedArray[Any]":
    """The values at a path; null where an object on the way is."""
    column = table.column(path[0])
    return pc.struct_field(column, list(path[1:])) if len(path) > 1 else column


def _kind(value: Any) -> pa.DataType | None:
    """How to read a value that only counts: as little of it as the parser allows. None: it cannot be told."""
    match value:
        case bool():
            return pa.bool_()
        case int() | float():
            return pa.float64()
        case str():
            return pa.string()
        case dict():
            return pa.struct([])
        case list():
            kinds = {_kind(item) for item in value}
            item = kinds.pop() if len(kinds) == 1 else None
            return None if item is None else pa.list_(item)
    return None


def _as_yaml(path: str) -> str:
    """As a file has it. What cannot be seen, such as a blank of no width, is escaped as in YAML's double quotes."""
    if path.isprintable():
        return path
    return f'"{"".join(map(_escaped, path))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 2**16 else f"\\U{ord(character):08x}"


def _is_plain(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARS and name.isprintable()


def copy_tree(tree: Tree) -> Tree:
    return {key: copy_tree(child) if isinstance(child, dict) else child for key, child in tree.items()}
