"""Any value of JSON, as its one text: keys in order, no blanks, each number by its value."""

import json
import re
from typing import Any, Final

import orjson
import pyarrow as pa

from services.processor.domain.numbers import Numeral, canonical_number
from services.processor.domain.readers.naming import shown
from services.processor.domain.readers.reader import Reader, Refusal
from services.processor.domain.readers.texts import refuse_odd, string_reader, to_text
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type
from shared.reasons import Reason

MAX_DEPTH: Final = 100
"""Lists and objects inside of each other."""

MAX_DIGITS_BEFORE, MAX_DIGITS_BEHIND = 131_072, 16_383
"""Of a number, around its point: PostgreSQL holds no more."""

_DOUBTFUL = re.compile(rb"[0-9][eE]|[0-9.]{17}|\.[0-9]*0(?![0-9])|0\.0000|-0(?![.0-9])|\\u[dD][89a-fA-F]")
"""Numbers that must be read by their digits, and surrogates; also where they are part of a text.

A number of up to fifteen digits that ends with another than 0 is written by a float as it was read.
"""

_DECODER = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral)
_SORTED = orjson.OPT_SORT_KEYS


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.refusal = Refusal(reason, detail)


def json_reader(kind: Type, _: files.Column) -> Reader:
    return Reader(arrow_type(kind), (), _texts, json_value)


def text_reader(kind: Type, column: files.Column) -> Reader:
    """Of a column of texts; where it takes every value, what is no text becomes the text of its JSON."""
    if not column.from_any:
        return string_reader(kind, column)
    return Reader(
        arrow_type(kind),
        (),
        _any_texts,
        lambda raw: to_text(raw) if isinstance(raw, str) else json_value(raw),
    )


def json_value(raw: Any) -> str | Refusal:
    """The text of a decoded value; its numbers are `Numeral`."""
    parts: list[str] = []
    try:
        _write(raw, parts.append, MAX_DEPTH)
    except _RefusedError as error:
        return error.refusal
    return "".join(parts)


def is_canonical(text: str) -> bool:
    """Whether it is JSON, in the one text that its value has."""
    try:
        # Of a record the lines with an escaped NUL are read one by one; a transform's value comes straight here.
        may_have_nul = "\\u0000" in text
        return (json_value(_DECODER.decode(text)) if may_have_nul else _text_of(text.encode())) == text
    except (ValueError, RecursionError):
        return False


def _texts(raws: Array) -> Array | None:
    found: list[str | None] = []
    for raw in raws.to_pylist():
        text = None if raw is None else _text_of(raw)
        if isinstance(text, Refusal):
            return None
        found.append(text)
    return pa.array(found, pa.string())


def _any_texts(raws: Array) -> Array | None:
    found: list[str | None] = []
    for raw in raws.to_pylist():
        if raw is None or not raw.startswith(b'"'):
            text = None if raw is None else _text_of(raw)
        elif b"\\u" in raw:
            return None  # a NUL, or half a surrogate pair
        else:
            text = orjson.loads(raw)
        if isinstance(text, Refusal):
            return None
        found.append(text)
    return pa.array(found, pa.string())


def _text_of(raw: bytes) -> str | Refusal:
    """Quickly where no number, and no depth, needs a closer look."""
    if not _DOUBTFUL.search(raw) and raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return orjson.dumps(orjson.loads(raw), option=_SORTED).decode()
    try:
        return json_value(_DECODER.decode(raw.decode()))
    except RecursionError:
        return Refusal(Reason.DECODE, "nested too deep")


def _write(value: Any, put: Any, depth: int) -> None:
    match value:
        case None | True | False:
            put({None: "null", True: "true", False: "false"}[value])
        case Numeral():
            put(_number(value))
        case str():
            put(_string(value))
        case _ if depth == 0:
            raise _RefusedError(Reason.DECODE, "nested too deep")
        case list():
            put("[")
            for place, item in enumerate(value):
                put("," if place else "")
                _write(item, put, depth - 1)
            put("]")
        case dict():
            put("{")
            for place, key in enumerate(sorted(value)):
                put(f"{',' if place else ''}{_string(key)}:")
                _write(value[key], put, depth - 1)
            put("}")


def _number(number: Numeral) -> str:
    text, before, behind = canonical_number(number)
    if before > MAX_DIGITS_BEFORE or behind > MAX_DIGITS_BEHIND:
        raise _RefusedError(Reason.RANGE, f"{shown(number.text)} is beyond what PostgreSQL holds in jsonb")
    return text


def _string(text: str) -> str:
    if (refusal := refuse_odd(text)) is not None:
        raise _RefusedError(refusal.reason, refusal.detail)
    return json.dumps(text, ensure_ascii=False)
