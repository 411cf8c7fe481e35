"""Finds the error message in an answer without records."""

import json
import re
from collections.abc import Iterable
from typing import Any

MAX_WORDS_CHARS = 120

MAX_VALUE_BYTES = 64 * 1024
"""Of a member that may hold an error message. A longer one is data."""

_ERROR_KEYS = (
    "errormessage", "errormsg", "errmsg", "errordescription", "error", "errors", "err", "odataerror", "exception",
    "fault", "faults", "faultstring", "errorcode", "errcode", "faultcode",
)  # fmt: skip
"""In the order of preference."""

_SUCCESS_KEYS = frozenset({"issuccess", "ok", "succeeded", "success", "successful"})
_STATE_KEYS = frozenset({"result", "state", "status"})
_CODE_KEYS = frozenset({"code", "httpcode", "httpstatus", "status", "statuscode"})
_WORD_KEYS = ("message", "msg", "detail", "title", "description", "reason")
_MESSAGE_KEYS = ("message", "msg", "detail")
_KEYS = _SUCCESS_KEYS | _STATE_KEYS | _CODE_KEYS | {*_ERROR_KEYS, *_WORD_KEYS}

_QUIET = frozenset({"", "false", "no", "none", "null", "ok", "success", "successful"})
_FAILED = frozenset({"err", "error", "exception", "fail", "failed", "failure", "ko", "nok"})
_ERROR_WORDS = re.compile(
    r"denied|disabled|error|exceeded|expired|fail|forbidden|invalid|maintenance|not allowed|rate limit|"
    r"throttl|time[d ]*out|too many|unauthori[sz]ed|unavailable",
    re.IGNORECASE,
)
_NO_LETTER = re.compile(r"[^a-z]")
_SUCCESSES = range(200, 400)
_FIRST_ERROR_STATUS = 400


def error_message(members: Iterable[tuple[str, bytes]], *, has_array: bool) -> str | None:
    """The source's message where an object reports an error; else None.

    Where there is no array, not even an empty one, a message that sounds like an error is one too.
    """
    known = _known(members)
    for key in _ERROR_KEYS:
        if not _is_quiet(known.get(key)):
            return _words(known[key]) or _message(known) or key
    if any(_is_no(known[key]) for key in _SUCCESS_KEYS & known.keys()):
        return _message(known) or "no success"
    if any(_is_failed_state(known[key]) for key in _STATE_KEYS & known.keys()):
        return _message(known) or "failed"
    message = _message(known)
    if message and any(_is_error_code(key, known[key]) for key in _CODE_KEYS & known.keys()):
        return message
    if not has_array and _ERROR_WORDS.search(_message(known, _MESSAGE_KEYS)):
        return message
    return None


def message_of(document: bytes) -> str:
    """The message of a short JSON document that explains an error; "" where it has none."""
    try:
        value = json.loads(document, strict=False)
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return printable(value) if isinstance(value, str) else ""
    known = {_NO_LETTER.sub("", key.lower()): inner for key, inner in value.items()}
    return next((words for key in (*_ERROR_KEYS, *_WORD_KEYS) if (words := _spoken(known.get(key)))), "")


def printable(text: str, most: int = MAX_WORDS_CHARS) -> str:
    """On one line, without what a terminal would obey, cut."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: 8 * most])
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else shown[:most].rstrip() + "..."


def _known(members: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in members:
        plain = _NO_LETTER.sub("", key.lower())
        if plain in _KEYS and len(value) <= MAX_VALUE_BYTES and _is_quiet(known.get(plain)):
            try:
                known[plain] = json.loads(value, strict=False)
            except (ValueError, RecursionError):
                known[plain] = value.decode("utf-8", "replace")
    return known


def _is_quiet(value: Any) -> bool:
    """Whether the value means that there was no error: null, false, 0, an empty text, and what holds only these."""
    match value:
        case str():
            text = value.strip().lower()
            return text in _QUIET or (text.isdecimal() and _is_quiet(int(text[:9])))
        case list():
            return all(not isinstance(item, list | dict) and _is_quiet(item) for item in value)
        case dict():
            return all(not isinstance(item, list | dict) and _is_quiet(item) for item in value.values())
        case int() | float():
            return not value or value in _SUCCESSES
    return value is None


def _is_no(value: Any) -> bool:
    return value in (False, 0) or (isinstance(value, str) and value.strip().lower() in {"false", "no", "0"})


def _is_failed_state(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() in _FAILED)


def _is_error_code(key: str, value: Any) -> bool:
    if isinstance(value, str):
        text = value.strip()
        if not text.lstrip("-").isdecimal():
            return key == "code" and not _is_quiet(text)
        value = int(text[:9])
    return isinstance(value, int | float) and (value >= _FIRST_ERROR_STATUS or value < 0)


def _message(known: dict[str, Any], keys: tuple[str, ...] = _WORD_KEYS) -> str:
    return next((words for key in keys if (words := _words(known.get(key)))), "")


def _spoken(value: Any) -> str:
    """A bare code adds nothing to the status."""
    words = _words(value)
    return words if re.search("[A-Za-z]", words) else ""


def _words(value: Any) -> str:
    """The first text to be found; at the most three levels down."""
    for _ in range(3):
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict) and value:
            lower = {_NO_LETTER.sub("", key.lower()): inner for key, inner in value.items()}
            keys = (*_WORD_KEYS, *_ERROR_KEYS, "type", "code")
            value = next((lower[key] for key in keys if lower.get(key)), next(iter(value.values())))
    if isinstance(value, str):
        return printable(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
