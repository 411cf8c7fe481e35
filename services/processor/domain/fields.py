"""The fields at the top of records: which have values, and what those are like.

Every line is looked at, so that what a batch needs follows from its records alone.
"""

import json
from collections.abc import Collection
from typing import Any, Final

import msgspec
import orjson

from shared.datasets.seen import Seen

MAX_FIELDS: Final = 10_000
"""More than any dataset has columns: objects that are used as maps have a field for each value."""

MAX_NAME_CHARS: Final = 300
"""Longer names than a path may have are cut: they are only told."""

_SIGNED: Final = 2**63


class FieldsSeen:
    """Of one batch. A small object per line is made, and dropped."""

    def __init__(self, passed_over: Collection[str]) -> None:
        self._passed_over = frozenset(passed_over)
        self._tallies: dict[str, _Tally] = {}

    def look(self, chunk: bytes) -> None:
        """Lines that are no objects are passed over."""
        for line in chunk.split(b"\n"):
            record = _decode(line)
            if not isinstance(record, dict):
                continue
            for name in record.keys() - self._passed_over:
                if (value := record[name]) is not None:
                    self._add(name, value)

    def found(self) -> dict[str, Seen]:
        """By field, in the order of their names."""
        return {name: self._tallies[name].seen() for name in sorted(self._tallies)}

    def _add(self, name: str, value: Any) -> None:
        tally = self._tallies.get(name)
        if tally is None:
            name = name[:MAX_NAME_CHARS]
            if name not in self._tallies and len(self._tallies) >= MAX_FIELDS:
                return
            tally = self._tallies.setdefault(name, _Tally())
        tally.add(value)


class _Tally:
    __slots__ = ("floats", "fractions", "greatest", "huge", "kinds", "least")

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.greatest = self.least = 0
        self.floats = self.fractions = self.huge = False

    def add(self, value: Any) -> None:
        kind = type(value)
        self.kinds.add(kind)
        if kind is int:
            if value > self.greatest:
                self.greatest = value
            elif value < self.least:
                self.least = value
        elif kind is float:
            self.floats = True
            if not -_SIGNED < value < _SIGNED:
                self.huge = True
            elif not value.is_integer():
                self.fractions = True

    def seen(self) -> Seen:
        return Seen(
            has_booleans=bool in self.kinds,
            has_texts=str in self.kinds,
            has_nested=bool(self.kinds & {list, dict}),
            has_whole=int in self.kinds,
            has_floats=self.floats,
            has_fractions=self.fractions,
            has_huge=self.huge or self.greatest >= _SIGNED or self.least <= -_SIGNED,
            largest=min(max(self.greatest, -self.least), _SIGNED),
        )


def _decode(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _decode_odd(line)


def _decode_odd(line: bytes) -> Any:
    """What the quick parser does not take, such as half a surrogate pair; None for what is no JSON."""
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


class KnownFields:
    """Tells quickly whether lines may have a field at their top beside these."""

    def __init__(self, names: Collection[str]) -> None:
        fields: list[tuple[str, Any, Any]] = [(f"f{place}", msgspec.Raw, None) for place in range(len(names))]
        rename = {f"f{place}": name for place, name in enumerate(names)}
        record = msgspec.defstruct("Record", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        self._decode = msgspec.json.Decoder(record).decode

    def are_all(self, data: bytes, lines: int) -> bool:
        """False: a line has another one, or is doubtful."""
        try:
            for line in data.split(b"\n")[:lines]:
                self._decode(line)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True
