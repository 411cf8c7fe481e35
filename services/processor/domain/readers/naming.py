"""What JSON values are called in a refusal."""

from typing import Any

from services.processor.domain.numbers import Numeral
from services.processor.domain.readers.reader import Refusal
from shared.reasons import Reason

MAX_SHOWN_CHARS = 40
"""Of a value, in the text of a refusal."""

_NAMES = {
    bool: "a boolean",
    Numeral: "a number",
    str: "a text",
    dict: "an object",
    type(None): "null",
}


def name_of(value: Any) -> str:
    return _NAMES.get(type(value), "an array")


def shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def other_type(value: Any, expected: str) -> Refusal:
    """Another type of JSON, or a text that is none of these values."""
    what = (
        f"{shown(value)!r}" if isinstance(value, str) and expected.startswith("a text ") else name_of(value)
    )
    return Refusal(Reason.TYPE, f"{what} where {expected} is expected")
