"""Whether texts between two places of a buffer are numbers as JSON writes them: many at once, eight bytes at a time."""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PAD_BYTES: Final = 32
"""Behind the last byte that may be asked for: words are read beyond it."""

_WORD: Final = 8
_MAX_DIGITS: Final = 3 * _WORD
"""Longer runs of digits are looked at one by one."""

_ZEROS: Final = np.uint64(0x3030303030303030)
_ABOVE_NINE: Final = np.uint64(0x7676767676767676)
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_ONE: Final = np.uint64(1)
_THREE: Final = np.uint64(3)

_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Bytes:
    """A text's bytes, and the words that begin at each of them. `PAD_BYTES` zeros stand behind the text."""

    def __init__(self, data: bytes) -> None:
        self._length = len(data)
        self.padded = data + bytes(PAD_BYTES)
        self.bytes = np.frombuffer(self.padded, np.uint8)
        self.words = np.ndarray((len(self.padded) - _WORD + 1,), np.dtype("<u8"), self.padded, 0, (1,))

    def __len__(self) -> int:
        return self._length

    def all_are(self, starts: Places, text: bytes) -> bool:
        """Whether the text stands at each of the places."""
        for begin in range(0, len(text), _WORD):
            part = text[begin : begin + _WORD]
            if not np.all(begins_with(self.words[starts + begin], part)):
                return False
        return True


def begins_with(words: npt.NDArray[np.uint64], text: bytes) -> Flags:
    """Which words begin with a text of at most eight bytes."""
    flags: Flags = words & np.uint64((1 << 8 * len(text)) - 1) == np.uint64(int.from_bytes(text, "little"))
    return flags


def all_numbers(text: Bytes, starts: Places, ends: Places, *, are_whole: bool) -> bool:
    """Whether there is a number, of digits alone where it must be whole, from each start to its end."""
    first = starts + (text.bytes[starts] == ord("-"))
    behind = first + _digits_at(text, first)
    if np.any((behind == first) | ((text.bytes[first] == ord("0")) & (behind > first + 1))):
        return False
    is_left = behind != ends
    if not np.any(is_left):
        return True
    if are_whole:
        return False
    left = np.flatnonzero(is_left)
    point, end = behind[left], ends[left]
    stop = point + 1 + _digits_at(text, point + 1)
    is_plain = (text.bytes[point] == ord(".")) & (stop > point + 1) & (stop == end)
    others = left[~is_plain]
    return all(
        _NUMBER.fullmatch(text.padded, begin, stop)
        for begin, stop in zip(starts[others].tolist(), ends[others].tolist(), strict=True)
    )


def short_wholes(text: Bytes, starts: Places, ends: Places) -> Places | None:
    """The numbers that stand there, where all are of one to eight digits alone; None where one is not."""
    lengths = ends - starts
    if ends.min() < _WORD or lengths.min() < 1 or lengths.max() > _WORD:
        return None
    if np.any((text.bytes[starts] == ord("0")) & (lengths > 1)):
        return None
    # The last byte of a number is the highest of its word: what is before the number falls out below.
    above = (lengths << 3).astype(np.uint64)
    values = (text.words[ends - _WORD] ^ _ZEROS) >> (np.uint64(64) - above) << (np.uint64(64) - above)
    if np.any(((values + _ABOVE_NINE) | values) & _HIGH_BITS):
        return None
    for width, factor, mask in _JOINED:
        values = (values * factor + (values >> width)) & mask
    found: Places = values.astype(np.int64)
    return found


_JOINED: Final = (
    (np.uint64(8), np.uint64(10), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(16), np.uint64(100), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(32), np.uint64(10_000), np.uint64(0x00000000FFFFFFFF)),
)
"""Neighbours of a word become one number: of two digits, then of four, then of eight."""


def _digits_at(text: Bytes, places: Places) -> Places:
    """How many digits begin at each place, up to `_MAX_DIGITS`."""
    count = _digits_in(text.words[places])
    for passed in range(_WORD, _MAX_DIGITS, _WORD):
        more = np.flatnonzero(count == passed)
        if not len(more):
            break
        count[more] += _digits_in(text.words[np.minimum(places[more] + passed, len(text.words) - 1)])
    return count


def _digits_in(words: npt.NDArray[np.uint64]) -> Places:
    """How many of a word's bytes are digits, before the first that is none."""
    values = words ^ _ZEROS
    others = ((values + _ABOVE_NINE) | values) & _HIGH_BITS
    # The lowest bit that is set is that of the first byte which is no digit; a carry changes bytes behind it only.
    return (np.bitwise_count((others & (~others + _ONE)) - _ONE) >> 3).astype(np.int64)
