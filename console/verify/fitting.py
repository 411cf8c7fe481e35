"""Values that the processor must take: plainly written, of their column's type. Less than it does take."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from console.verify.values import UNREADABLE, number_of, read, without_null_texts
from shared.datasets.column import Column
from shared.datasets.types import FLOATS, WHOLE_BITS, Type

MAX_DEPTH = 50
"""Of a document, that is taken for certain."""

MAX_NUMBER_CHARS = 10_000

_FORMS: dict[str, re.Pattern[str]] = {
    "timestamp": re.compile(
        r"\d{4}-\d\d-\d\d([T ]([01]\d|2[0-3]):\d\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII
    ),
    "date": re.compile(r"\d{4}-\d\d-\d\d", re.ASCII),
    "time": re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII),
    "duration": re.compile(r"-?(P\d{1,4}D|PT\d{1,6}(\.\d{1,6})?S|\d{1,9}(\.\d{1,6})?)", re.ASCII),
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
_PLAIN_NUMBER = re.compile(r"-?\d{1,30}([.,]\d{1,30})?", re.ASCII)
_FIRST_SURE_YEAR, _LAST_SURE_YEAR = 2, 9998


def fits(kind: Type, column: Column, raw: Any) -> bool:
    """Whether this value, which is not null, can be in the column for certain."""
    raw = without_null_texts(kind, column, raw)
    if raw is None:
        return True
    if kind.item is not None:
        return isinstance(raw, list) and all(item is None or fits(kind.item, column, item) for item in raw)
    if kind.fields:
        return isinstance(raw, dict) and all(
            raw.get(name) is None or fits(inner, column, raw[name]) for name, inner in kind.fields
        )
    return _FITS[kind.name](kind, column, raw)


def _can_be_read(kind: Type, column: Column, raw: Any) -> bool:
    try:
        read(kind, column, raw)
    except UNREADABLE:
        return False
    return True


def _is_number(kind: Type, column: Column, raw: Any) -> bool:
    if isinstance(raw, str) and not _PLAIN_NUMBER.fullmatch(raw):
        return False
    try:
        found, number = read(kind, column, raw), number_of(raw, column, always=kind.name == "decimal")
    except UNREADABLE:
        return False
    if kind.name in WHOLE_BITS:
        return isinstance(number, int) or isinstance(raw, str)
    if kind.name in FLOATS:
        is_whole = isinstance(number, int) or number == number.to_integral_value()
        return not is_whole or number == found
    return True


def _is_plain(kind: Type, column: Column, raw: Any) -> bool:
    """A text in the one form that any version takes, and no time near the ends of the calendar."""
    if kind.name == "duration" and isinstance(raw, int) and not isinstance(raw, bool):
        return abs(raw) <= 10**9
    if not isinstance(raw, str) or column.zone is not None or column.format is not None:
        return False
    form = _FORMS[kind.name]
    if not form.fullmatch(raw) or not _can_be_read(kind, column, raw):
        return False
    return kind.name != "timestamp" or _FIRST_SURE_YEAR <= int(raw[:4]) <= _LAST_SURE_YEAR


def _is_text(kind: Type, column: Column, raw: Any) -> bool:
    if column.from_any and not isinstance(raw, str):
        return _is_document(kind, column, raw)
    return _is_plain_text(raw)


def _is_plain_text(raw: Any) -> bool:
    return isinstance(raw, str) and "\0" not in raw and raw.encode("utf-8", "ignore").decode() == raw


def _is_encoded(kind: Type, column: Column, raw: Any) -> bool:
    return (
        isinstance(raw, str)
        and len(raw) % (2 if column.encoding == "hex" else 4) == 0
        and re.fullmatch("[0-9a-f]*" if column.encoding == "hex" else "[A-Za-z0-9+/]*", raw) is not None
        and _can_be_read(kind, column, raw)
    )


def _is_document(kind: Type, column: Column, raw: Any, depth: int = MAX_DEPTH) -> bool:
    if isinstance(raw, str):
        return _is_plain_text(raw)
    if isinstance(raw, Decimal):
        return abs(raw.adjusted()) < MAX_NUMBER_CHARS and len(raw.as_tuple().digits) < MAX_NUMBER_CHARS
    if isinstance(raw, dict | list):
        parts = [*raw, *raw.values()] if isinstance(raw, dict) else raw
        return depth > 0 and all(_is_document(kind, column, part, depth - 1) for part in parts)
    return True


_FITS: dict[str, Callable[[Type, Column, Any], bool]] = {
    **dict.fromkeys((*WHOLE_BITS, *FLOATS, "decimal"), _is_number),
    **dict.fromkeys(("timestamp", "date", "time", "duration", "uuid"), _is_plain),
    "string": _is_text,
    "boolean": _can_be_read,
    "enum": lambda kind, column, raw: isinstance(raw, str) and _can_be_read(kind, column, raw),
    "binary": _is_encoded,
    "json": _is_document,
}
