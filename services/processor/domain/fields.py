"""The fields at the top of records: which have values, and what those are like.

Every line is looked at, so that what a batch needs follows from its records alone.
"""

import json
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import orjson

from shared.datasets.seen import Seen

MAX_FIELDS: Final = 10_000
"""More than any dataset has columns: objects that are used as maps have a field for each value."""

MAX_EXPECTED: Final = 256
"""Fields that are read at once. With more of them each line is read by itself, which takes four times as long."""

MAX_NAME_CHARS: Final = 300
"""Longer names than a path may have are cut: they are only told."""

_SIGNED: Final = 2**63


class FieldsSeen:
    """Of one batch. A small object per line is made, and dropped; memory is that of a chunk."""

    def __init__(self, passed_over: Collection[str]) -> None:
        self._passed_over = frozenset(passed_over)
        self._tallies: dict[str, _Tally] = {}
        self._records = _Records(self._passed_over, ())

    def look(self, chunk: bytes) -> None:
        """Lines that are no objects are passed over."""
        lines = chunk.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        columns = self._records.read(lines)
        if columns is None:
            self._look_at_each(lines)
            return
        for name, values in columns.items():
            self._tallies[name].add(values)

    def found(self) -> dict[str, Seen]:
        """By field, in the order of their names."""
        return {name: self._tallies[name].seen() for name in sorted(self._tallies)}

    def _look_at_each(self, lines: Sequence[bytes]) -> None:
        """Learns the fields, so that the next chunk is read at once."""
        before = len(self._tallies)
        for line in lines:
            record = _decode(line)
            if not isinstance(record, dict):
                continue
            for name in record.keys() - self._passed_over:
                if (value := record[name]) is not None:
                    self._add(name, value)
        if before < len(self._tallies) <= MAX_EXPECTED:
            names = [name for name in self._tallies if len(name) < MAX_NAME_CHARS and _can_be_named(name)]
            self._records = _Records(self._passed_over, names)

    def _add(self, name: str, value: Any) -> None:
        tally = self._tallies.get(name)
        if tally is None:
            name = name[:MAX_NAME_CHARS]
            if name not in self._tallies and len(self._tallies) >= MAX_FIELDS:
                return
            tally = self._tallies.setdefault(name, _Tally())
        tally.add((value,))


class _Records:
    """Reads lines whose records have no other fields than these."""

    def __init__(self, passed_over: Collection[str], wanted: Sequence[str]) -> None:
        self._wanted = {name: attrgetter(f"w{place}") for place, name in enumerate(wanted)}
        others = [name for name in passed_over if name not in self._wanted]
        names = {f"w{place}": name for place, name in enumerate(wanted)}
        names |= {f"o{place}": name for place, name in enumerate(others)}
        self._decode = _decoder(names, frozenset(f"w{place}" for place in range(len(wanted))))

    def read(self, lines: Sequence[bytes]) -> dict[str, list[Any]] | None:
        """The values of each wanted field, None where a record has none; None if a line is doubtful."""
        try:
            records = [self._decode(line) for line in lines]
        except (msgspec.DecodeError, RecursionError):
            return None
        return {name: list(map(value_of, records)) for name, value_of in self._wanted.items()}


def _decoder(names: dict[str, str], decoded: Collection[str] = ()) -> Any:
    """Of records with these fields and no other. The values of the `decoded` ones are made, the others passed over.

    Names that the decoder cannot be given are left out: records with such a field are looked at one by one.
    """
    names = {field: name for field, name in names.items() if _can_be_named(name)}
    fields: list[tuple[str, Any, Any]] = [
        (field, Any if field in decoded else msgspec.Raw, None) for field in names
    ]
    record = msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(record).decode


class _Tally:
    __slots__ = ("floats", "fractions", "greatest", "huge", "kinds", "least")

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.greatest = self.least = 0
        self.floats = self.fractions = self.huge = False

    def add(self, values: Sequence[Any]) -> None:
        kinds = set(map(type, values))
        self.kinds |= kinds
        if int in kinds:
            whole = values if len(kinds) == 1 else [value for value in values if type(value) is int]
            self.greatest, self.least = max(self.greatest, *whole), min(self.least, *whole)
        if float in kinds:
            floats = values if len(kinds) == 1 else [value for value in values if type(value) is float]
            self.floats = True
            self.huge = self.huge or max(floats) >= _SIGNED or min(floats) <= -_SIGNED
            self.fractions = self.fractions or not all(map(float.is_integer, floats))

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


def _can_be_named(name: str) -> bool:
    """Half a surrogate pair and control characters are not printable; blanks other than the plain one neither."""
    return name.isprintable() and not {'"', "\\"} & set(name)


class KnownFields:
    """Tells quickly whether lines may have a field at their top beside these."""

    def __init__(self, names: Collection[str]) -> None:
        self._decode = _decoder({f"f{place}": name for place, name in enumerate(names)})

    def are_all(self, data: bytes, lines: int) -> bool:
        """False: a line has another one, or is doubtful."""
        try:
            for line in data.split(b"\n")[:lines]:
                self._decode(line)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True
