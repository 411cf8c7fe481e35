"""What the values of a field are like, and which types hold them all. Pure.

The order in which values are seen makes no difference: what was seen of some records and of others is joined.
"""

from dataclasses import dataclass
from typing import Final

from shared.datasets.column import Column
from shared.datasets.types import FLOATS, WHOLE_BITS

EXACT: Final = 2**53
"""Every whole number below it is a float of its own."""

_OPTIONS: Final = {"name", "type", "source_path", "from_any"}
"""Fields of a column that say nothing of how a value is read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of all values of one field that are not null."""

    has_booleans: bool = False
    has_texts: bool = False
    has_nested: bool = False
    """Lists or objects."""
    has_whole: bool = False
    """Numbers that are written without a point and an exponent."""
    has_floats: bool = False
    """Other numbers."""
    has_fractions: bool = False
    has_huge: bool = False
    """Numbers of 64 bits or more: as a float they may have lost digits."""
    largest: int = 0
    """Of the whole values, without their sign."""

    def __post_init__(self) -> None:
        """Of numbers some of which are huge nothing else matters, so a parser that rounds them tells the same."""
        if self.has_huge:
            for name, value in (
                ("has_whole", False),
                ("has_floats", True),
                ("has_fractions", True),
                ("largest", 0),
            ):
                object.__setattr__(self, name, value)

    def __or__(self, other: "Seen") -> "Seen":
        return Seen(
            self.has_booleans or other.has_booleans,
            self.has_texts or other.has_texts,
            self.has_nested or other.has_nested,
            self.has_whole or other.has_whole,
            self.has_floats or other.has_floats,
            self.has_fractions or other.has_fractions,
            self.has_huge or other.has_huge,
            max(self.largest, other.largest),
        )

    @property
    def are_numbers(self) -> bool:
        return not (self.has_booleans or self.has_texts or self.has_nested)

    @property
    def are_floats(self) -> bool:
        """Whether they are numbers, and a float holds each whole one of them exactly."""
        return self.are_numbers and not self.has_huge and self.largest < EXACT

    def fits_bits(self, bits: int) -> bool:
        return (
            self.are_numbers and not (self.has_fractions or self.has_huge) and self.largest < 2 ** (bits - 1)
        )

    def has_only(self, kind: str) -> bool:
        """`kind`: the name of a flag."""
        flags = ("has_booleans", "has_texts", "has_nested", "has_whole", "has_floats", "has_huge")
        return all(getattr(self, flag) == (flag == kind) for flag in flags)


def type_for(seen: Seen, *, may_widen: bool) -> str:
    """The type of a column that is made for such values: the narrowest where it may become wider."""
    if seen.has_only("has_booleans"):
        return "boolean"
    if seen.has_only("has_texts"):
        return "string"
    if seen.are_numbers and not seen.has_floats:
        for bits in (32, 64) if may_widen else (64,):
            if seen.fits_bits(bits):
                return f"int{bits}"
    return "float64" if seen.are_floats and seen.has_floats else "json"


def holds(column: Column, seen: Seen) -> bool:
    """Whether every such value fits. True also for columns that never become wider."""
    if not is_widenable(column):
        return True
    if column.type in WHOLE_BITS:
        return seen.fits_bits(WHOLE_BITS[column.type])
    if column.type in FLOATS:
        return seen.are_numbers
    return seen.has_only("has_booleans" if column.type == "boolean" else "has_texts")


def is_widenable(column: Column) -> bool:
    """Columns that are read from the top of a record, of a plain type, by no rule of their own."""
    is_plain = column.type in {*WHOLE_BITS, *FLOATS, "boolean", "string"}
    return (
        is_plain
        and len(column.path) == 1
        and not column.from_any
        and not (column.model_fields_set - _OPTIONS)
    )


def widened(column: Column, seen: Seen) -> Column:
    """The column with the narrowest type that holds what it held and these values; no value that it has changes."""
    source = column.source_path
    for bits in (16, 32, 64):
        if WHOLE_BITS.get(column.type, 64) < bits and seen.fits_bits(bits):
            return Column.model_validate({"name": column.name, "type": f"int{bits}", **_from(source)})
    if WHOLE_BITS.get(column.type, 64) < 64 and seen.are_floats:  # noqa: PLR2004 - int64 has numbers that no float is
        return Column.model_validate({"name": column.name, "type": "float64", **_from(source)})
    return Column.model_validate({"name": column.name, "type": "string", "from_any": True, **_from(source)})


def _from(source: str | None) -> dict[str, str]:
    return {} if source is None else {"from": source}
