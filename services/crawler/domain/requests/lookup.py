"""Finds values in JSON by a path, without changing what it finds: numbers keep their digits, texts their escapes."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from shared.datasets.sources.json_paths import JsonPath, Step, parse_json_path

Json = bytes | msgspec.Raw

NOT_READABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading a value raises where it is not JSON."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()

MAX_FOUND = 2_000_000


def first_byte(value: Json) -> bytes:
    return bytes(memoryview(value)[:64]).lstrip(b" \t\r\n\xef\xbb\xbf")[:1]


def members(value: Json) -> dict[str, msgspec.Raw]:
    """Of an object; of anything else none. Raises one of `NOT_READABLE`."""
    return _OBJECT.decode(value) if first_byte(value) == b"{" else {}


def elements(value: Json) -> list[msgspec.Raw]:
    """Of an array; of anything else none. Raises one of `NOT_READABLE`."""
    return _ARRAY.decode(value) if first_byte(value) == b"[" else []


def read(value: Json) -> Any:
    """As Python has it. Raises one of `NOT_READABLE`."""
    return _ANY.decode(value)


def find_all(value: Json, path: JsonPath) -> Iterator[Json]:
    """Every value that the path leads to. Costs one pass over the value per step. Raises one of `NOT_READABLE`."""
    if not path:
        yield value
        return
    for found in _step_into(value, path[0]):
        yield from find_all(found, path[1:])


def _step_into(value: Json, step: Step) -> Iterator[Json]:
    if isinstance(step, str):
        inside = members(value)
        if step in inside:
            yield inside[step]
        elif step.isdigit():
            yield from elements(value)[int(step) : int(step) + 1]
    elif isinstance(step, int):
        listed = elements(value)
        if -len(listed) <= step < len(listed):
            yield listed[step]
    elif isinstance(step, tuple):
        key, wanted = step
        absent = msgspec.Raw(b"null")
        fits = (one for one in elements(value) if str(read(members(one).get(key, absent))) == wanted)
        yield from islice(fits, 1)
    else:
        yield from elements(value) or members(value).values()


def find(value: Json, path: str) -> Json | None:
    """The first that the path leads to; None where there is none. Raises one of `NOT_READABLE`."""
    return next(find_all(value, parse_json_path(path)), None)


def find_value(value: Json, path: str) -> Any:
    """As `find`, as Python has it; null and what is not there are None."""
    found = find(value, path)
    return None if found is None else read(found)


def matched(value: Any, pattern: str | None) -> Any:
    """The first group of the pattern in a value's text; None where it does not match."""
    if pattern is None or value is None:
        return value
    found = re.search(pattern, str(value)[:100_000])
    return found[1] if found else None
