"""From a page's bytes to lines of one record each, without looking into the records.

What is wrong inside a record is for the processor to find: here one bad record never costs its page. An answer that
is empty in any form has no records. An answer that reports an error, is not JSON, or is not of the expected shape is a
failure of the request.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import stringzilla

from services.crawler.domain.answers import (
    BadBodyError,
    Empty,
    find_array,
    no_json,
    refuse_rest,
    structure_expected,
)
from services.crawler.domain.json_structure import BLANK, JsonStructure, on_one_line
from services.crawler.domain.plans import MAX_IDS

MAX_RECORDS = 2_000_000
"""On a page. Each costs 72 bytes beside its own, however small it is: without a bound 16 MiB of `[1,1,…]` took 1.3 GB.
Measured at the bound, 60 MiB of records of 31 bytes: the process has 355 MiB. 64 MiB of records of 33
bytes or more stay below it."""

COUNTED_AT_ONCE = 64 * 1024
"""So short that other threads need not wait."""

JOINED_AT_ONCE = 10_000
"""`bytes.join` takes 80 bytes per part."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NULL_LINE = b"null"

_OPENED = re.compile(rb"[ \t\r\n]*+\[")
_SOME_IDS = re.compile(rb'(?:[ \t\r\n]*+(?:"(?:[^"\\]++|\\.)*+"|-?[0-9]++)[ \t\r\n]*+,){1,4096}+', re.DOTALL)
"""Each with the comma behind it; the parser checks what they are."""

_NO_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
_BARE_STRING = re.compile(rb'"[^"]*+"')
_FLAT = re.compile(rb"[\[{],*+[\]}]")
_LIKE_JSON = re.compile(rb'[{\["\-0-9]|(?:null|true|false|NaN|Infinity)\Z')
_STEP = re.compile(rb",++|[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Records:
    """Lines without the last newline. `empty`: the item was `null`, and its line is a placeholder."""

    data: bytes
    rows: int
    empty: bool = False
    lacking: str = ""
    """Of a page without an array of records: what it has instead."""
    is_cut: bool = False
    """The page had more records than were wanted of it."""


def first_lines(data: bytes, most: int) -> list[bytes]:
    """Of a page's lines, at most `most`; nothing else is copied."""
    lines: list[bytes] = []
    at = 0
    while data and len(lines) < most:
        stop = data.find(b"\n", at)
        lines.append(data[at:] if stop < 0 else data[at:stop])
        if stop < 0:
            break
        at = stop + 1
    return lines


def split_page(
    body: bytes,
    path: Sequence[str] = (),
    most: int | None = None,
    *,
    is_first: bool = False,
    is_strict: bool = True,
) -> Records:
    """The records of a page, at most `most`; `path` leads to their array. Raises `BadBodyError`.

    No body, `null`, `{}`, `[]`, and a path that leads to one of these or to nothing are a page of no records, unless
    the answer has an error message, or records elsewhere (see `find_array`). Costs about a millisecond per megabyte, more
    where it has more than `MAX_RECORDS` commas; a page with something odd in it, fifty times that.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    parsed = None if most is None else most + 1
    try:
        lines = _quick_lines(body, path, parsed)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = _careful_lines(body, path, parsed, is_first=is_first, is_strict=is_strict)
        if isinstance(found, Empty):
            return Records(b"", 0, lacking=found.lacking)
        lines = found
    is_cut = most is not None and len(lines) > most
    lines = lines[:most]
    if not lines:
        return Records(b"", 0, is_cut=is_cut)
    data = b"\n".join(
        b"\n".join(lines[start : start + JOINED_AT_ONCE]) for start in range(0, len(lines), JOINED_AT_ONCE)
    )
    return Records(data, len(lines), is_cut=is_cut)


def split_item(body: bytes) -> Records:
    """The one record of an item's answer; no body is an empty item, as `null` is. Raises `BadBodyError`."""
    body = body.removeprefix(BYTE_ORDER_MARK).strip(BLANK)
    if not body:
        return Records(NULL_LINE, 1, empty=True)
    try:
        [element] = _quick_elements(b"[" + body + b"]")
        line = bytes(element)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        line = _careful_item(body)
    return Records(on_one_line(line), 1, empty=line == NULL_LINE)


def read_ids(body: bytes) -> Iterator[int | str]:
    """The ids of a list in their order, at most `MAX_IDS`; of an answer that is empty in any form none.

    Memory is a few thousand ids beside the body. Raises `BadBodyError`, perhaps behind the first ids.
    """
    count = 0
    for ids in _pieces_of_ids(body):
        count += len(ids)
        if count > MAX_IDS:
            raise _too_many(MAX_IDS, "ids")
        yield from ids


def _pieces_of_ids(body: bytes) -> Iterator[list[int | str]]:
    start = len(BYTE_ORDER_MARK) if body.startswith(BYTE_ORDER_MARK) else 0
    decoder = msgspec.json.Decoder(list[int | str])
    begin = _OPENED.match(body, start)
    try:
        if begin is None:
            yield decoder.decode(memoryview(body)[start:])
            return
        at = begin.end()
        while piece := _SOME_IDS.match(body, at):
            at = piece.end()
            yield decoder.decode(b"[" + body[piece.start() : at - 1] + b"]")
        if at > begin.end():
            yield decoder.decode(b"[0," + memoryview(body)[at:])[1:]
        else:
            yield decoder.decode(memoryview(body)[start:])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if isinstance(find_array(JsonStructure(body[start:]), (), "ids"), Empty):
            return
        raise BadBodyError(f"a JSON array of integers and texts is expected: {error}"[:300]) from error


def _quick_lines(body: bytes, path: Sequence[str], most: int | None) -> Sequence[bytes | msgspec.Raw]:
    """Raises what msgspec raises, and `ValueError` where there is no record: the careful way then finds out why."""
    for key in path:
        body = bytes(msgspec.json.decode(body, type=_holder_of(key)).member)
    elements = _quick_elements(body)
    if not elements:
        raise ValueError("no records")
    # A newline is never inside a text: msgspec refuses that.
    is_spread = b"\n" in body or b"\r" in body
    elements = elements[:most]
    return [bytes(element).translate(None, b"\r\n") for element in elements] if is_spread else elements


def _quick_elements(body: bytes) -> list[msgspec.Raw]:
    _refuse_more(body, MAX_RECORDS, "records")
    return msgspec.json.decode(body, type=list[msgspec.Raw])


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


def _careful_lines(
    body: bytes, path: Sequence[str], most: int | None, *, is_first: bool, is_strict: bool
) -> Sequence[bytes] | Empty:
    """The same without a parser: whatever a record holds, its line is what stands between two commas."""
    # What the structure holds is free again before lines are made.
    spans = _spans(JsonStructure(body), path, is_first=is_first, is_strict=is_strict)
    if isinstance(spans, Empty):
        return spans
    pairs = zip(spans[::2][:most], spans[1::2][:most], strict=True)
    lines = [on_one_line(body[start:stop].rstrip(BLANK)) for start, stop in pairs]
    if lines and not any(map(_LIKE_JSON.match, lines)):
        raise no_json(body)
    return lines


def _spans(
    page: JsonStructure, path: Sequence[str], *, is_first: bool, is_strict: bool
) -> "array[int] | Empty":
    """Where the records begin and end by turns."""
    at = find_array(page, path, "records", is_first=is_first, is_strict=is_strict)
    if isinstance(at, Empty):
        return at
    spans = array("q")
    with structure_expected():
        for start, stop in page.parts(at):
            spans.extend((page.skip_blank(start), stop))
            if len(spans) > 2 * MAX_RECORDS:
                raise _too_many(MAX_RECORDS, "records")
        if not path:
            refuse_rest(page, spans[-1] + 1)
    if spans[-2] == spans[-1]:  # nothing stands behind the last comma
        del spans[-2:]
    return spans


def _careful_item(body: bytes) -> bytes:
    item = JsonStructure(body)
    if body[0] in b"[{":
        with structure_expected():
            refuse_rest(item, item.end_of(0))
    elif not item.is_text(0, len(body)):
        raise no_json(body)
    return body
