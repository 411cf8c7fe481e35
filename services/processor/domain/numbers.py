"""Numbers by their value, however they are written: `1000`, `1000.0`, `1e3` and `0.1e+4` are one number.

Nothing here takes longer than a look at each digit: an exponent is never written out, a million digits are never
multiplied.
"""

import math
import re
from dataclasses import dataclass

from shared.reasons import Reason

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_INT64_DIGITS = 19
_SURELY_INT64 = 18
"""Characters of digits and a sign that are within 64 bits whatever they are."""

_NUMERAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")

_EXPONENT_DIGITS = 15
_ENDLESS = 10**_EXPONENT_DIGITS
"""An exponent of more digits is this one: no line has digits enough to make up for it."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """A JSON number as it is written."""

    text: str


def to_int64(number: Numeral, *, rounds: bool) -> int | Reason:
    """The whole number, or `range` beyond 64 bits. A fraction is `type`, or rounded, half to even."""
    text = number.text
    if len(text) <= _SURELY_INT64 and text.removeprefix("-").isdecimal():
        return int(text)
    is_negative, digits, exponent = _taken_apart(text)
    if exponent < 0 and digits and not rounds:
        return Reason.TYPE
    places = len(digits) + exponent
    if not digits or places < 0:
        return 0
    if places > _INT64_DIGITS:
        return Reason.RANGE
    value = int(digits) * 10**exponent if exponent >= 0 else _half_to_even(digits, places)
    value = -value if is_negative else value
    return value if INT64_MIN <= value <= INT64_MAX else Reason.RANGE


def to_float64(number: Numeral, *, rounds: bool) -> float | Reason:
    """The nearest double, or `range` where that is infinite.

    Unless it rounds, `range` also for a whole number that no double is. Fractions are always rounded: next to none
    of them is a double.
    """
    value = float(number.text)
    if math.isinf(value):
        return Reason.RANGE
    if not rounds:
        _, digits, exponent = _taken_apart(number.text)
        if digits and exponent >= 0 and int(digits) * 10**exponent != abs(int(value)):
            return Reason.RANGE
    return value


def _taken_apart(text: str) -> tuple[bool, str, int]:
    """Whether it is negative, its digits without zeros at either end, and the power of ten of the last of them."""
    match = _NUMERAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]} is not a JSON number")
    sign, whole, fraction, exponent_sign, exponent = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    exponent = exponent.lstrip("0")
    power = int(exponent or 0) if len(exponent) <= _EXPONENT_DIGITS else _ENDLESS
    power = -power if exponent_sign == "-" else power
    return bool(sign), significant, power - len(fraction) + len(digits) - len(significant)


def _half_to_even(digits: str, places: int) -> int:
    """Of `0.<digits>` times ten to the power of `places`, which is not negative."""
    whole, rest = int(digits[:places] or 0), digits[places:]
    return whole + (rest > "5" or (rest == "5" and whole % 2 == 1))
