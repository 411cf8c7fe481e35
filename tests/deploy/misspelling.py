"""Every field of an object in turn, under a name that does not exist."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.cluster.api import Object

Path = tuple[str | int, ...]

NAMING: Final[frozenset[Path]] = frozenset(
    {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
)
"""Without these there is no place that the object could be sent to."""


@dataclass(frozen=True)
class Misspelt:
    path: Path
    """Of the field as it should be."""
    object: dict[str, Any]

    @property
    def kind_of_field(self) -> str:
        """The path without places in lists: fields of alike elements are one."""
        return ".".join("[]" if isinstance(step, int) else step for step in self.path)


def misspellings(wanted: Object) -> Iterator[Misspelt]:
    """One object for each field but those that name it."""
    for path in _fields(wanted, ()):
        if path in NAMING:
            continue
        changed = copy.deepcopy(dict(wanted))
        parent: Any = changed
        for step in path[:-1]:
            parent = parent[step]
        parent[f"{path[-1]}z"] = parent.pop(path[-1])
        yield Misspelt(path, changed)


def _fields(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for name, inside in value.items():
            yield (*path, name)
            yield from _fields(inside, (*path, name))
    elif isinstance(value, list):
        for place, inside in enumerate(value):
            yield from _fields(inside, (*path, place))
