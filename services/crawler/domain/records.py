"""From a page's bytes to lines of one record each, without looking into the records.

What is wrong inside a record is for the processor to find: here one bad record never costs its page. What is no
JSON, or not of the expected shape, is the request's failure.
"""

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from json import decoder
from typing import Any

import msgspec
import stringzilla

from services.crawler.domain.plans import MAX_IDS

MAX_DEPTH = 64
"""Of a record. Deeper ones are attacks on parsers; no source of records needs them."""

MAX_RECORDS = 2_000_000
"""On a page. Each costs 72 bytes beside its own, however small it is: without a bound 16 MiB of `[1,1,…]` took 1.3 GB.
Measured at the bound, 60 MiB of records of 31 bytes: the process has 355 MiB. Whoever sends 64 MiB of records of 33
bytes or more does not meet it."""

MAX_ODD_RECORD_CHARS = 4 * 2**20
"""Of a record that the quick parser refuses: it is built as Python objects, up to thirty times its size."""

COUNTED_AT_ONCE = 64 * 1024
"""So short that other threads need not wait."""

FIRST_LOOK_CHARS = 4096
"""Most records are shorter; others are looked at twice."""

JOINED_AT_ONCE = 10_000
"""`bytes.join` takes 80 bytes per part."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NULL_LINE = b"null"

_WHITESPACE = re.compile(r"[ \t\r\n]*+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
_BARE_STRING = re.compile(rb'"[^"]*+"')
_FLAT = re.compile(rb"[\[{],*+[\]}]")
_STEP = re.compile(rb",++|[\[\]{}]")

_FORGIVING = json.JSONDecoder(strict=False, parse_int=len, parse_float=len, parse_constant=len)
"""Finds where values end. Takes NaN, lone surrogates and control characters; numbers are not converted."""


class BadBodyError(Exception):
    """The body is not what was asked for. `retryable`: the source may do better the next time.

    `outcome` is a metric's label.
    """

    def __init__(self, detail: str, *, retryable: bool = True, outcome: str = "body") -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Records:
    """Lines without the last newline. `empty`: the item was `null`, and its line is a placeholder."""

    data: bytes
    rows: int
    empty: bool = False


def split_page(body: bytes, path: Sequence[str] = (), most: int | None = None) -> Records:
    """The records of a page, at most `most`; `path` leads to their array. Raises `BadBodyError`.

    Costs about a millisecond per megabyte, more where it has more than `MAX_RECORDS` commas; a page with something
    odd in it, fifty times that.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        lines = _split(body, path, most)
    except RecursionError as error:
        raise _too_deep() from error
    data = b"\n".join(
        b"\n".join(lines[start : start + JOINED_AT_ONCE]) for start in range(0, len(lines), JOINED_AT_ONCE)
    )
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
    """The ids of a list, at most `MAX_IDS`. Raises `BadBodyError`."""
    _refuse_more(body, MAX_IDS, "ids")
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
    except (msgspec.DecodeError, ValueError) as refusal:
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
            body = bytes(msgspec.json.decode(body, type=_holder_of(key)).member)
            if not body:
                raise BadBodyError(f"there is no {key!r} in the page")
        _refuse_more(body, MAX_RECORDS, "records")
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise BadBodyError(f"not a page of records: {error}"[:300]) from error


@cache
def _holder_of(key: str) -> Any:
    """An object of which one member is wanted: the others, however many, cost nothing.

    Raises `ValueError` for a key that msgspec cannot look for: with a quote, a backslash or a control character.
    """
    return msgspec.defstruct("Holder", [("member", msgspec.Raw, msgspec.Raw(b""))], rename={"member": key})


def _refuse_more(body: bytes, most: int, what: str) -> None:
    """Raises `BadBodyError` where the array in `body` has more elements than `most`, before any of them costs memory.

    Exact as far as it is JSON, and linear; what comes after that is for the parsers to refuse.
    """
    if int(stringzilla.count(body, b",")) < most:
        return
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)
    bare = bare.replace(b'""', b"")  # what is left is inside a string or outside as before
    commas, depth, start = 0, 1, 1
    while bare.startswith(b"[") and start < len(bare):
        stop = start + COUNTED_AT_ONCE
        if bare.count(b'"', start, stop) % 2:
            stop = bare.find(b'"', stop) + 1 or len(bare)
        part = _FLAT.sub(b"", _BARE_STRING.sub(b"", bare[start:stop]))
        start = stop
        for found in _STEP.finditer(part):
            step = found[0]
            if step[0] != ord(","):
                depth += 1 if step in b"[{" else -1
            elif depth == 1:
                commas += len(step)
                if commas >= most:
                    raise _too_many(most, what)


def _too_many(most: int, what: str) -> BadBodyError:
    return BadBodyError(f"more than {most} {what}", retryable=False, outcome="too_large")


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
    return (
        _compact(text[start:stop]).encode("utf-8", "surrogateescape")
        for start, stop in zip(spans[::2], spans[1::2], strict=True)
    )


def _find_elements(text: str, at: int, path: Sequence[str]) -> tuple["array[int] | None", int]:
    """Where the records begin and end by turns, and where the value at `at` ends.

    Raises `BadBodyError`, `ValueError` or `IndexError`.
    """
    spans = None if path else array("q")
    opening, closing = "{}" if path else "[]"
    at = _expect(text, at, opening)
    if text[at] == closing:
        return spans, at + 1
    while True:
        if not path:
            stop = _end_of(text, at)
            assert spans is not None  # noqa: S101 - for mypy: an array wherever there is no path
            spans.extend((at, stop))
            if len(spans) > 2 * MAX_RECORDS:
                raise _too_many(MAX_RECORDS, "records")
        else:
            if text[at] != '"':
                raise ValueError("a key is expected")
            key, at = decoder.scanstring(text, at + 1, False)  # type: ignore[attr-defined]  # typeshed leaves it out
            at = _expect(text, _skip(text, at), ":")
            if key == path[0]:
                spans, stop = _find_elements(text, at, path[1:])
            else:
                stop = _end_of(text, at)
        at = _skip(text, stop)
        if text[at] == closing:
            return spans, at + 1
        at = _expect(text, at, ",")


def _end_of(text: str, at: int) -> int:
    """Where the value at `at` ends, found in a part of the text, so that what it is built of stays small."""
    for most in (FIRST_LOOK_CHARS, MAX_ODD_RECORD_CHARS):
        part = text[at : at + most]
        is_rest = at + most >= len(text)
        try:
            _, stop = _FORGIVING.raw_decode(part)
        except (ValueError, IndexError):
            if is_rest:
                raise
        else:
            if is_rest or stop < len(part) - len("e+"):  # else a number may be cut in two
                return at + stop
    raise BadBodyError(
        f"not JSON, or a value of more than {MAX_ODD_RECORD_CHARS} characters on a page that is odd"
    )


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
