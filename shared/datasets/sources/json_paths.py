r"""Where a value is in an answer: `data.items`, `pages[-1].next`, `links[rel=next].url`, `groups.*.id`. Pure.

Keys are joined by dots, `\.` is a dot inside a key. `*` and `[*]` are every member, `[0]` and `[-1]` an element, and
`[key=value]` the first element whose key has the value. The empty path is the answer itself.
"""

import re
from functools import lru_cache
from types import EllipsisType
from typing import Annotated

from pydantic import AfterValidator

from shared.datasets.faults import FaultError

Step = str | int | EllipsisType | tuple[str, str]
"""A key, the place of an element, every member, or the key and value of an element."""

JsonPath = tuple[Step, ...]

MAX_STEPS = 32

_KEY = re.compile(r"(?:\\.|[^.\[\]\\])+", re.DOTALL)
_BRACKET = re.compile(r"\[(?:(-?\d{1,6})|(\*)|([^=\]\[]+)=([^\]]*))\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@lru_cache(maxsize=4096)
def parse_json_path(text: str) -> JsonPath:
    """Raises `FaultError` with the place that cannot be read."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            found = _BRACKET.match(text, at)
            if found is None:
                raise FaultError(f"{text[:100]!r}: in brackets stand a number, *, or key=value")
            steps.append(_in_brackets(found))
        else:
            found = _KEY.match(text, at)
            if found is None:
                raise FaultError(f"{text[:100]!r}: a key is expected at character {at + 1}")
            key = _ESCAPE.sub(r"\1", found[0])
            steps.append(... if key == "*" else key)
        at = found.end()
        if at < len(text) and text[at] == ".":
            at += 1
            if at == len(text):
                raise FaultError(f"{text[:100]!r} ends with a dot")
        elif at < len(text) and text[at] != "[":
            raise FaultError(f"{text[:100]!r}: a dot is expected at character {at + 1}")
    if len(steps) > MAX_STEPS:
        raise FaultError(f"{len(steps)} steps: at most {MAX_STEPS} are followed")
    return tuple(steps)


def _in_brackets(found: re.Match[str]) -> Step:
    if found[1] is not None:
        return int(found[1])
    return ... if found[2] else (found[3], found[4])


def is_plain(path: JsonPath) -> bool:
    """Whether it has keys only."""
    return all(isinstance(step, str) for step in path)


def _checked(text: str) -> str:
    parse_json_path(text)
    return text


PathText = Annotated[str, AfterValidator(_checked)]
