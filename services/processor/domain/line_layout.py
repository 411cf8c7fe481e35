"""Chunks whose lines all have the same fields in the same order, flat and written alike, as programs write them.

Of such a chunk it is known where each value is, to the byte, from the places of its keys alone.
"""

import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import stringzilla

from services.processor.domain.number_tokens import Bytes, Places

MAX_BYTES: Final = 4 * 2**20
"""Of a chunk that is looked at: several numbers are held for each of its values."""

MAX_FIELDS: Final = 512

_CONTROLS: Final = "".join(map(chr, (*range(0x0A), *range(0x0B, 0x20))))
"""What no text of JSON has as it is; the ends of lines are counted."""


@dataclass(frozen=True, slots=True)
class Field:
    """The values of one field, in the order of the lines: the places of their first bytes, and those behind them."""

    name: str
    starts: Places
    ends: Places


@dataclass(frozen=True, slots=True)
class Layout:
    text: Bytes
    fields: tuple[Field, ...]


def layout_of(data: bytes, lines: int) -> Layout | None:
    """Where the values of a chunk of whole lines are; None where its lines are not all alike.

    Then each byte of a line belongs to a key as in the first line, to what stands between, or to a value. The values
    are not looked at, but none has a control character, and all is UTF-8.
    """
    if len(data) > MAX_BYTES or not (data.startswith(b'{"') and data.endswith(b"}\n")):
        return None
    names = _names_in(data[: data.index(b"\n")])
    if names is None:
        return None
    keys = [_key(name) for name in names]
    colons = _colons(data)
    if (
        len(colons) != lines * len(names)
        or stringzilla.find_first_of(data, _CONTROLS) >= 0
        or not _is_utf8(data)
    ):
        return None
    return _fields(Bytes(data), names, keys, colons.reshape(lines, len(names)))


def _names_in(line: bytes) -> list[str] | None:
    """The fields of the first line; None where one needs an escape, or is not alone with its name."""
    try:
        pairs: Any = json.loads(line, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    if not pairs or not isinstance(pairs, tuple) or len(pairs) > MAX_FIELDS:
        return None
    names = [name for name, _ in pairs]
    is_plain = all(name.isprintable() and not {'"', "\\"} & set(name) for name in names)
    return names if is_plain and len(set(names)) == len(names) else None


def _key(name: str) -> bytes:
    return f'"{name}":'.encode()


def _colons(data: bytes) -> Places:
    """The places of colons behind a quotation mark."""
    parts = stringzilla.Str(data).split('":')
    kind = np.uint64 if parts.offsets_are_large else np.uint32
    # Where each part would begin if they stood next to each other: each separator that is left out has two bytes.
    begins = np.frombuffer(ctypes.string_at(parts.offsets_address, parts.offsets_nbytes), kind)[1:-1]
    return begins.astype(np.int64) + np.arange(1, 2 * len(begins) + 1, 2)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(text: Bytes, names: Sequence[str], keys: Sequence[bytes], colons: Places) -> Layout | None:
    blank = b" " if text.bytes[colons[0, 0] + 1] == ord(" ") else b""
    between = b", " if len(keys) > 1 and text.bytes[colons[0, 1] - len(keys[1])] == ord(" ") else b","
    heads = [b"{" + keys[0] + blank, *(between + key + blank for key in keys[1:])]
    starts = np.ascontiguousarray(colons.T) + 1 + len(blank)
    begins = [start - len(head) for start, head in zip(starts, heads, strict=True)]
    line_ends = np.append(begins[0][1:] - 1, len(text) - 1)
    ends = np.stack([*begins[1:], line_ends - 1])
    is_alike = (
        begins[0][0] == 0
        and bool(np.all(starts < ends))
        and all(text.all_are(begin, head) for begin, head in zip(begins, heads, strict=True))
        and text.all_are(line_ends - 1, b"}\n")
    )
    return Layout(text, tuple(map(Field, names, starts, ends))) if is_alike else None
