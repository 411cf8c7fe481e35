"""Whether the records of a batch have numbers or texts, where a column takes both."""

import json
from typing import Any

from services.processor.domain.parse_schema import ParseSchema, Target, Tree, graft

LOOKED_AT_LINES = 50
"""Of a chunk that cannot be read as the ones before it."""


class ChosenForms:
    """Of one batch: numbers, until a chunk has texts. Costs nothing where no column takes both."""

    def __init__(self, parse_schema: ParseSchema) -> None:
        self._targets = tuple(parse_schema.targets[place] for place in parse_schema.two_forms)
        self._are_texts: frozenset[str] = frozenset()

    def shape(self, tree: Tree) -> Tree:
        """The tree, which it changes, with the forms that were chosen."""
        for target in self._targets:
            if target.name in self._are_texts:
                graft(tree, target.path, target.reader.forms[-1])
        return tree

    def choose(self, data: bytes) -> bool:
        """Looks at the first lines anew. False: nothing else was chosen."""
        if not self._targets:
            return False
        found = frozenset(self._texts_in(data))
        is_new = found != self._are_texts
        self._are_texts = found
        return is_new

    def _texts_in(self, data: bytes) -> list[str]:
        records = []
        for line in data.split(b"\n", LOOKED_AT_LINES)[:LOOKED_AT_LINES]:
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        return [target.name for target in self._targets if _has_text(records, target)]


def _has_text(records: list[Any], target: Target) -> bool:
    """Whether the first value that is there is a text, or holds one."""
    for record in records:
        value = record
        for key in target.path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return _holds_text(value)
    return False


def _holds_text(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(_holds_text(part) for part in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str)
