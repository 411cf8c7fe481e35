"""JSON of any origin, parsed so that it can be written again as JSON. Pure."""

import json
import math
from typing import Any

MAX_DEPTH = 100
"""No data nests deeper. Python's own limit is near, and differs where the value is written again."""


def parse(text: str | bytes) -> Any:
    """The value; a number that is too large for a float is its text.

    Raises `ValueError` for a text that is not JSON (`NaN` is not) and for one that nests too deep.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if _is_deep(value):
        raise ValueError("it nests too deep")
    return value


def parse_object(value: bytes | None) -> dict[str, Any]:
    """Empty for anything but a JSON object: a malformed record or mark must not end a wait."""
    try:
        document = parse(value or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return bool(level)
