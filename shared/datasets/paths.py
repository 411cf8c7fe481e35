r"""How a dataset file names a key inside a record: `address.city`, `user\.name`, `"Full Name"."first.last"`. Pure."""

import re
import unicodedata
from functools import lru_cache

MAX_KEYS = 32
"""On the way to a value. Deeper records are read, but no column is taken from below."""

MAX_KEY_CHARS = 256

Path = tuple[str, ...]

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r'(?:[^."\\]|\\.)+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_QUOTES = re.compile(r'[.\\"\s]|^$')


@lru_cache(maxsize=16_384)
def parse_path(text: str) -> Path:
    r"""The keys of a path, from the outermost in.

    Keys are joined by dots. `\.` is a dot inside a key, `\\` a backslash, `\"` a quote. A key in double quotes
    holds anything but control characters, dots and nothing at all included. Without quotes a key may hold blanks
    inside, not at its ends. Raises `ValueError` with what is wrong and what to write.
    """
    keys: list[str] = []
    at = 0
    while True:
        quoted = _QUOTED.match(text, at)
        found = quoted or _BARE.match(text, at)
        if found is None:
            raise ValueError(_why_no_key(text, at))
        key = quoted[1] if quoted else found[0]
        _check_escapes(key)
        key = _ESCAPE.sub(r"\1", key)
        _check_key(key, is_quoted=quoted is not None)
        keys.append(key)
        at = found.end()
        if at == len(text):
            break
        if text[at] != ".":
            raise ValueError(_why_no_dot(text, at, after_quotes=quoted is not None))
        at += 1
    if len(keys) > MAX_KEYS:
        raise ValueError(f"{len(keys)} keys one inside the other: at most {MAX_KEYS} are followed")
    return tuple(keys)


def format_path(path: Path) -> str:
    """As a file writes it: `parse_path` gives the same keys back."""
    return ".".join(_format_key(key) for key in path)


def _format_key(key: str) -> str:
    if not _NEEDS_QUOTES.search(key):
        return key
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_escapes(raw: str) -> None:
    for escaped in _ESCAPE.findall(raw):
        if escaped not in {".", "\\", '"'}:
            raise ValueError(rf"\{escaped} means nothing here: \\ is a backslash, \. a dot, \" a quote")


def _check_key(key: str, *, is_quoted: bool) -> None:
    if len(key) > MAX_KEY_CHARS:
        raise ValueError(f"a key of {len(key)} characters: at most {MAX_KEY_CHARS} are taken")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in key):
        raise ValueError("a key holds a control character")
    if not is_quoted and key != key.strip():
        raise ValueError(
            f"the key {key!r} has a blank at its end: write it in double quotes, as in '\"{key}\"'"
        )


def _why_no_key(text: str, at: int) -> str:
    if not text:
        return "no key is named: write '\"\"' for the key that is empty"
    if text[at : at + 1] == '"':
        return 'a double quote is not closed: write \\" for one inside a key'
    if text[at : at + 1] == "\\":
        return r"a backslash at the end: \\ is a backslash"
    return (
        "a key is missing before or after a dot: a dot joins two keys; "
        r"write \. for a dot inside a key, and '"
        "' for a key that is empty"
    )


def _why_no_dot(text: str, at: int, *, after_quotes: bool) -> str:
    if after_quotes:
        return f"after a key in double quotes a dot or the end is expected, not {text[at]!r}"
    if text[at] == '"':
        return 'a double quote inside a key: put the whole key in double quotes, or write \\" for the quote'
    return r"a backslash at the end: \\ is a backslash"
