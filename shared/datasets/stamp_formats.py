"""The letters of strftime that a column's `format` may have, as a pattern. Pure."""

import re
from typing import Final

from shared.datasets.faults import FaultError

LETTERS: Final = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>0?[1-9]|1[0-2])",
    "b": r"(?P<b>[A-Za-z]{3})",
    "d": r"(?P<d>0?[1-9]|[12][0-9]|3[01])",
    "H": r"(?P<H>[01]?[0-9]|2[0-3])",
    "I": r"(?P<I>0?[1-9]|1[0-2])",
    "p": r"(?P<p>[AaPp][Mm])",
    "M": r"(?P<M>[0-5]?[0-9])",
    "S": r"(?P<S>[0-5]?[0-9])",
    "f": r"(?P<f>[0-9]{1,9})",
    "z": r"(?P<z>[Zz]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])",
}
"""Each may be there once. `%%` is a percent sign."""

_DIGITS: Final = frozenset("YymdHIMSf")

_DAY: Final = frozenset("Yymbd")
_CLOCK: Final = frozenset("HIpMSf")


def letters_of(form: str) -> list[str]:
    """The letters of the format, in its order."""
    return [letter for letter in re.findall(r"%(.?)", form) if letter != "%"]


def pattern_of(form: str) -> str:
    """What a whole text in this format matches, with a group for each letter. Python and RE2 both read it.

    Zeros in front may be left away, but not where other digits adjoin: `2026111` may be two days.
    """
    parts = re.split(r"%(.)", form)
    texts = []
    for place, part in enumerate(parts):
        if place % 2 == 0:
            texts.append(re.escape(part))
            continue
        text = LETTERS.get(part, "%")
        adjoins = _is_digit(parts[:place], -1) or _is_digit(parts[:place:-1], 0)
        texts.append(text.replace("?[", "[") if part in _DIGITS and adjoins else text)
    return "".join(texts)


def _is_digit(parts: list[str], end: int) -> bool:
    """Of texts and letters in turn: whether the last text, or else the letter behind it, has a digit at this end."""
    text = parts[-1]
    return text[end].isdigit() if text else len(parts) > 1 and parts[-2] in _DIGITS


def check_format(form: str, types: frozenset[str]) -> None:
    """Raises `FaultError` for a format that does not tell a value of these types."""
    letters = letters_of(form)
    if unknown := [letter for letter in letters if letter not in LETTERS]:
        known = ", ".join(f"%{letter}" for letter in LETTERS)
        raise FaultError(f"%{unknown[0]} is not supported: supported are {known} and %%", "format")
    if twice := [letter for letter in letters if letters.count(letter) > 1]:
        raise FaultError(f"%{twice[0]} is there twice", "format")
    has = set(letters)
    for reason in _lacks(has, types):
        raise FaultError(reason, "format")


def _lacks(has: set[str], types: frozenset[str]) -> list[str]:
    found = []
    if types & {"timestamp", "date"}:
        if len(has & {"Y", "y"}) != 1:
            found.append("it needs the year, %Y or %y")
        if len(has & {"m", "b"}) != 1:
            found.append("it needs the month, %m or %b")
        if "d" not in has:
            found.append("it needs the day, %d")
    if types & {"time"} and not has & {"H", "I"}:
        found.append("it needs the hour, %H or %I")
    if ("I" in has) != ("p" in has) or {"H", "I"} <= has:
        found.append("%I and %p belong together, without %H")
    if (
        (has & {"M"} and not has & {"H", "I"})
        or (has & {"S"} and "M" not in has)
        or (has & {"f"} and "S" not in has)
    ):
        found.append("%M needs an hour before it, %S needs %M, %f needs %S")
    if types == {"date"} and has & (_CLOCK | {"z"}):
        found.append("a date has no time of day: take type timestamp")
    if types == {"time"} and has & (_DAY | {"z"}):
        found.append("a time has no day and no zone: take type timestamp")
    return found
