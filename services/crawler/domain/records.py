"""From a page's bytes to lines of one record each, without looking into the records.

What is wrong inside a record is for the processor to find: here one bad record never costs its page. What is no
JSON, or not of the expected shape, is the request's failure.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from json import decoder

import msgspec
import stringzilla

MAX_DEPTH = 64
"""Of a record. Deeper ones are attacks on parsers; no source of records needs them."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NULL_LINE = b"null"

_WHITESPACE = re.compile(r"[ \t\r\n]*+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)

_FORGIVING = json.JSONDecoder(strict=False, parse_int=len, parse_float=len, parse_constant=len)
"""Finds where values end. Takes NaN, lone surrogates and control characters; numbers are not converted."""


class BadBodyError(Exception):
    """The body is not what was asked for. `retryable`: the source may do better the next time."""

    def __init__(self, detail: str, *, retryable: bool = True) -> None:
        super().__init__(detail)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Records:
    """Lines without the last newline. `empty`: the item was `null`, and its line is a placeholder."""

    data: bytes
    rows: int
    empty: bool = False


def split_page(body: bytes, path: Sequence[str] = (), most: int | None = None) -> Records:
    """The records of a page, at most `most`; `path` leads to their array. Raises `BadBodyError`.

    Costs about a millisecond per megabyte; a page with something odd in it, fifty times that.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        lines = _split(body, path, most)
    except RecursionError as error:
        raise _too_deep() from error
    data = b"\n".join(lines)
    # Where every line is an object, and all of them have few more brackets than one each, none can be deep.
    are_flat = (
        int(stringzilla.count(data, b"}\n{")) == len(lines) - 1 and _brackets(data) < len(lines) + MAX_DEPTH
    )
    if not are_flat and any(map(_is_deep, lines)):
        raise _too_deep()
    return Records(data, len(lines))


def split_item(body: bytes) -> Records:
    """The one record of an item's answer. Raises `BadBodyError`."""
    wrapped = b"[" + body.removeprefix(BYTE_ORDER_MARK) + b"]"
    try:
        lines = _split(wrapped, (), None)
    except RecursionError as error:
        raise _too_deep() from error
    if len(lines) != 1:
        raise BadBodyError("not JSON: one document is expected")
    line = bytes(lines[0])
    if _is_deep(line):
        raise _too_deep()
    return Records(line, 1, empty=line == NULL_LINE)


def read_ids(body: bytes) -> list[int | str]:
    """The ids of a list. Raises `BadBodyError`."""
    try:
        return msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK), type=list[int | str])
    except msgspec.ValidationError as error:
        raise BadBodyError(f"a JSON array of integers and texts is expected: {error}"[:300]) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBodyError(f"not JSON: {error}"[:300]) from error
    except RecursionError as error:
        raise _too_deep() from error


def _split(body: bytes, path: Sequence[str], most: int | None) -> Sequence[bytes | msgspec.Raw]:
    try:
        elements = _quick_elements(body, path)[:most]
    except (msgspec.DecodeError, UnicodeDecodeError) as refusal:
        lines: Sequence[bytes | msgspec.Raw] = list(islice(_careful_elements(body, path, refusal), most))
    else:
        # Never inside a string: msgspec refuses that.
        is_spread = b"\n" in body or b"\r" in body
        lines = [bytes(element).translate(None, b"\r\n") for element in elements] if is_spread else elements
    return lines


def _is_deep(line: bytes | msgspec.Raw) -> bool:
    text = bytes(line)
    return _brackets(text) > MAX_DEPTH and _depth(text) > MAX_DEPTH


def _brackets(text: bytes) -> int:
    return int(stringzilla.count(text, b"[") + stringzilla.count(text, b"{"))


def _quick_elements(body: bytes, path: Sequence[str]) -> list[msgspec.Raw]:
    try:
        for key in path:
            members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            if key not in members:
                raise BadBodyError(f"there is no {key!r} in the page")
            body = bytes(members[key])
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise BadBodyError(f"not a page of records: {error}"[:300]) from error


def _careful_elements(body: bytes, path: Sequence[str], refusal: Exception) -> Iterable[bytes]:
    """The same by the standard library's scanner, which forgives what belongs to one record alone."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        spans, end = _find_elements(text, _skip(text, 0), path)
    except (ValueError, IndexError) as error:
        raise BadBodyError(f"not JSON: {refusal}"[:300]) from error
    if spans is None:
        raise BadBodyError(f"there is no {'.'.join(path)!r} in the page")
    if _skip(text, end) != len(text):
        raise BadBodyError("not JSON: there is something after its end")
    return (_compact(text[start:stop]).encode("utf-8", "surrogateescape") for start, stop in spans)


def _find_elements(text: str, at: int, path: Sequence[str]) -> tuple[list[tuple[int, int]] | None, int]:
    """Where the records are, and where the value at `at` ends. Raises `ValueError` or `IndexError`."""
    spans: list[tuple[int, int]] | None = None if path else []
    opening, closing = "{}" if path else "[]"
    at = _expect(text, at, opening)
    if text[at] == closing:
        return spans, at + 1
    while True:
        if not path:
            _, stop = _FORGIVING.raw_decode(text, at)
            assert spans is not None  # noqa: S101 - for mypy: a list wherever there is no path
            spans.append((at, stop))
        else:
            if text[at] != '"':
                raise ValueError("a key is expected")
            key, at = decoder.scanstring(text, at + 1, False)  # type: ignore[attr-defined]  # typeshed leaves it out
            at = _expect(text, _skip(text, at), ":")
            if key == path[0]:
                spans, stop = _find_elements(text, at, path[1:])
            else:
                _, stop = _FORGIVING.raw_decode(text, at)
        at = _skip(text, stop)
        if text[at] == closing:
            return spans, at + 1
        at = _expect(text, at, ",")


def _expect(text: str, at: int, character: str) -> int:
    """The place of the next value behind `character`."""
    if text[at] != character:
        raise ValueError(f"{character} is expected")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


def _compact(element: str) -> str:
    """On one line: newlines go, and those in a string (which JSON forbids) become what they must have meant."""
    if "\n" not in element and "\r" not in element:
        return element
    kept = _STRING.sub(lambda found: found[0].replace("\n", "\\n").replace("\r", "\\r"), element)
    return kept.translate({10: None, 13: None})


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(line):
        if found[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in b"]}":
            depth -= 1
    return deepest


def _too_deep() -> BadBodyError:
    return BadBodyError(f"nested deeper than {MAX_DEPTH} levels", retryable=False)
