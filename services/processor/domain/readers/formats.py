"""A file's own format of times, to ISO 8601: one text, and whole columns by the same pattern."""

import re
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.arrow import Array
from shared.datasets.stamp_formats import letters_of, pattern_of

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LAST_CENTURY: Final = "69"
"""Years of two digits from here on are of the twentieth century."""

_NOON: Final = 12


class Format:
    """Of one column."""

    def __init__(self, form: str) -> None:
        self._letters = frozenset(letters_of(form))
        self._pattern = re.compile(pattern_of(form))
        self._column_pattern = f"^(?s:{pattern_of(form)})$"

    def iso(self, text: str) -> str | None:
        """None: the text is in another format."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        parts = match.groupdict()
        clock = self._clock(parts)
        if not self._letters & {"Y", "y"}:
            return clock
        month = self._month(parts)
        if month is None:
            return None
        day = f"{self._year(parts)}-{month}-{parts['d'].zfill(2)}"
        return day if clock is None else f"{day}T{clock}{parts.get('z') or ''}"

    def isos(self, texts: Array) -> Array | None:
        """None: a single text is in another format."""
        parts: Array = pc.extract_regex(texts, self._column_pattern)
        if parts.null_count != texts.null_count:
            return None
        columns = {letter: pc.struct_field(parts, letter) for letter in self._letters}
        clock = self._clocks(columns)
        if not self._letters & {"Y", "y"}:
            return clock
        month = self._months(columns)
        if month.null_count != texts.null_count:
            return None
        day = _joined("-", self._years(columns), month, _padded(columns["d"]))
        if clock is None:
            return day
        return _joined("", day, "T", clock, columns.get("z", ""))

    @staticmethod
    def _year(parts: dict[str, str]) -> str:
        if "Y" in parts:
            return parts["Y"]
        return f"{'19' if parts['y'] >= _LAST_CENTURY else '20'}{parts['y']}"

    @staticmethod
    def _years(parts: dict[str, Array]) -> Array:
        if "Y" in parts:
            return parts["Y"]
        century = pc.if_else(pc.greater_equal(parts["y"], pa.scalar(_LAST_CENTURY)), "19", "20")
        return _joined("", century, parts["y"])

    @staticmethod
    def _month(parts: dict[str, str]) -> str | None:
        if "m" in parts:
            return parts["m"].zfill(2)
        name = parts["b"].lower()
        return f"{_MONTHS.index(name) + 1:02}" if name in _MONTHS else None

    @staticmethod
    def _months(parts: dict[str, Array]) -> Array:
        if "m" in parts:
            return _padded(parts["m"])
        place = pc.index_in(pc.utf8_lower(parts["b"]), value_set=pa.array(_MONTHS))
        return _padded(pc.add(place, pa.scalar(1, pa.int32())).cast(pa.string()))

    def _clock(self, parts: dict[str, str]) -> str | None:
        if not self._letters & {"H", "I"}:
            return None
        hour = int(parts.get("H") or parts["I"])
        if "I" in parts:
            hour = hour % _NOON + (_NOON if parts["p"].lower() == "pm" else 0)
        text = f"{hour:02}:{parts.get('M', '0').zfill(2)}:{parts.get('S', '0').zfill(2)}"
        return f"{text}.{parts['f']}" if "f" in parts else text

    def _clocks(self, parts: dict[str, Array]) -> Array | None:
        if not self._letters & {"H", "I"}:
            return None
        hour = parts.get("H")
        if hour is None:
            is_late = pc.equal(pc.utf8_lower(parts["p"]), pa.scalar("pm"))
            early = parts["I"].cast(pa.int32())
            early = pc.if_else(pc.equal(early, pa.scalar(_NOON, pa.int32())), pa.scalar(0, pa.int32()), early)
            later = pc.add(early, pa.scalar(_NOON, pa.int32()))
            hour = pc.if_else(is_late, later, early).cast(pa.string())
        nothing = pc.if_else(pc.is_valid(hour), "0", pa.scalar(None, pa.string()))
        text = _joined(":", _padded(hour), _padded(parts.get("M", nothing)), _padded(parts.get("S", nothing)))
        return _joined(".", text, parts["f"]) if "f" in parts else text


def _padded(texts: Array) -> Array:
    return pc.utf8_lpad(texts, 2, "0")


def _joined(between: str, *parts: Array | str) -> Array:
    joined: Array = pc.call_function("binary_join_element_wise", [*parts, between])
    return joined
