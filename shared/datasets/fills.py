"""Whether a file's `fill` can be in a column of its type. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from shared.datasets.types import FLOATS, NESTED, NUMBERS, WHOLE_BITS, Type

Fill = str | int | float | bool

_LARGEST: Final = {"float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?")
_MOMENT = re.compile(
    _DAY.pattern + r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_DURATION = re.compile(
    r"-?P(?=[0-9T])(?:[0-9]{1,6}W)?(?:[0-9]{1,7}D)?(?:T(?=[0-9])(?:[0-9]{1,8}H)?(?:[0-9]{1,9}M)?"
    r"(?:[0-9]{1,11}(?:\.[0-9]{1,6})?S)?)?"
)
_MAX_SECONDS = 10**11
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def is_fill_of(kind: Type, fill: Fill, encoding: str) -> bool:
    if isinstance(fill, bool) or kind.name == "boolean":
        return isinstance(fill, bool) and kind.name in {"boolean", "json"}
    if kind.name in NUMBERS:
        return _is_number_of(kind, fill)
    if isinstance(fill, int):
        return kind.name == "json" or (kind.name == "duration" and abs(fill) <= _MAX_SECONDS)
    if isinstance(fill, float) or not _is_storable(fill) or kind.name in NESTED:
        return False
    if kind.name == "enum":
        return fill in kind.values
    return _is_encoded(fill, encoding) if kind.name == "binary" else _is_of(kind, fill)


def _is_number_of(kind: Type, fill: str | float) -> bool:
    if kind.name == "decimal":
        return not isinstance(fill, float) and _is_decimal(str(fill), kind)
    if kind.name in FLOATS:
        return isinstance(fill, int | float) and abs(fill) <= _LARGEST[kind.name]
    limit = 2 ** (WHOLE_BITS[kind.name] - 1)
    return isinstance(fill, int) and -limit <= fill < limit


def expected_fill(kind: Type, fill: Fill) -> str:
    """Why this cannot be the fill of such a column."""
    if kind.name in NESTED:
        return f"a column of type {kind} has no fill: its nulls stay"
    expected = _EXPECTED.get(kind.name)
    if kind.name in WHOLE_BITS:
        expected = f"a whole number of at most {WHOLE_BITS[kind.name]} bits"
    if kind.name == "enum":
        expected = f"one of {', '.join(kind.values[:20])}"
    return f"{json.dumps(fill)[:100]} cannot be in a column of type {kind}: {expected} is expected"


_EXPECTED: Final = {
    "string": "a text",
    "float32": "a number",
    "float64": "a number",
    "decimal": "a whole number, or one in quotes such as '0.50', within its digits,",
    "boolean": "true or false",
    "timestamp": "a time in quotes, such as '2026-01-31T00:00:00Z',",
    "date": "a day in quotes, such as '2026-01-31',",
    "time": "a time of day in quotes, such as '08:30:00',",
    "duration": "a whole number of seconds, or a duration in quotes such as 'PT1H30M',",
    "uuid": "a UUID in quotes, in small letters,",
    "binary": "bytes in quotes, in the column's encoding,",
    "json": "a text, a whole number, true or false",
}


def _is_of(kind: Type, text: str) -> bool:
    return kind.name not in _TEXT_IS or _TEXT_IS[kind.name](text)


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode("utf-8", "ignore").decode() == text


def _is_decimal(text: str, kind: Type) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    if not re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", text):
        return False
    sign_digits_exponent = number.normalize().as_tuple()
    behind = max(0, -int(sign_digits_exponent.exponent))
    return behind <= kind.scale and number.adjusted() < kind.precision - kind.scale


def _is_encoded(text: str, encoding: str) -> bool:
    try:
        if encoding == "hex":
            return re.fullmatch("(?:[0-9a-fA-F]{2})*", text) is not None
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except (binascii.Error, ValueError):
        return False


def _is_on_calendar(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)  # the years 1 to 9999 are those of UTC
    except (ValueError, OverflowError):
        return False
    return True


_TEXT_IS: Final[dict[str, Callable[[str], bool]]] = {
    "timestamp": lambda text: bool(_MOMENT.fullmatch(text)) and _is_on_calendar(text),
    "date": lambda text: bool(_DAY.fullmatch(text)) and _is_on_calendar(text),
    "time": lambda text: bool(_CLOCK.fullmatch(text)),
    "duration": lambda text: bool(_DURATION.fullmatch(text)),
    "uuid": lambda text: bool(_UUID.fullmatch(text)),
}
