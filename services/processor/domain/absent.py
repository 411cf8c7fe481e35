"""Which columns' fields no record of a batch had, not even as null.

A column with a value was there. Only where all of a column is null, and for a whole batch so far, the records are
looked at again, and only until the field is found.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import stringzilla

from services.processor.domain.parse_schema import Target

_FEW = 32
"""Up to this number, names are looked for in the bytes one by one; more are faster found by reading every record."""

_DECODER = json.JSONDecoder(parse_int=float)
"""A million digits are one look at each; as an integer they would be refused."""

_SPELLED_ONE_WAY = re.compile(r"[A-Za-z0-9_. -]+")
"""Encoders write other characters as they are or escaped: `é`, `/`, `<`."""


class AbsentFields:
    """Of one batch. Cost: nothing once every column had a value; a second reading of the records at worst."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._left = dict(enumerate(targets))
        self._has_records = False

    def names(self) -> tuple[str, ...]:
        """The columns, in the file's order. None where there was no record."""
        return tuple(target.name for target in self._left.values()) if self._has_records else ()

    def saw(self, columns: "Sequence[pa.Array[Any]]") -> None:
        """Values before any fill, in the order of the targets."""
        if columns and len(columns[0]):
            self._has_records = True
        for place in list(self._left):
            if columns[place].null_count < len(columns[place]):
                del self._left[place]

    def look(self, chunk: bytes) -> None:
        """The lines whose values it saw before, and those that were refused."""
        if not self._left or (self._has_records and not self._may_be_in(chunk)):
            return
        for line in chunk.split(b"\n"):
            if not self._left:
                return
            self._look(line)

    def _may_be_in(self, chunk: bytes) -> bool:
        """False: surely no record has any of them. A parent that is null has its fields as null."""
        names = {target.path[-1] for target in self._left.values()}
        parents = {key for target in self._left.values() for key in target.path[:-1]}
        if len(names) > _FEW or not all(_SPELLED_ONE_WAY.fullmatch(name) for name in names | parents):
            return True
        if any(stringzilla.find(chunk, f'"{name}"'.encode()) >= 0 for name in names):
            return True
        nulls = "|".join(map(re.escape, sorted(parents)))
        return bool(parents) and re.search(rf'"(?:{nulls})"\s*:\s*null'.encode(), chunk) is not None

    def _look(self, line: bytes) -> None:
        try:
            record = _DECODER.decode(line.decode())
        except RecursionError:
            self._left.clear()  # unknown, so nothing is reported
            return
        except ValueError:
            return
        if not isinstance(record, dict):
            return
        self._has_records = True
        for place in [place for place, target in self._left.items() if _has(record, target.path)]:
            del self._left[place]


def _has(record: dict[str, Any], path: tuple[str, ...]) -> bool:
    value: Any = record
    for key in path:
        if value is None:
            return True
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
