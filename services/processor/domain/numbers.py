"""Numbers by their value, however they are written: `1000`, `1000.0`, `1e3` and `0.1e+4` are one number.

Nothing here takes longer than a look at each digit: an exponent is never written out, a million digits are never
multiplied.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from shared.reasons import Reason

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_INT64_DIGITS = 19
_SURELY_INT64 = 18
"""Characters of digits and a sign that are within 64 bits whatever they are."""

_NUMERAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")

_POINT_TEXT = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))((?:[eE][+-]?[0-9]+)?)")
_COMMA_TEXT = re.compile(_POINT_TEXT.pattern.replace(r"\.", ","))

_FILLED = 20
_LEADING_ZEROS = 6

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


def to_whole(number: Numeral, bits: int, *, rounds: bool) -> int | Reason:
    """As `to_int64`, within another number of bits."""
    value = to_int64(number, rounds=rounds)
    if isinstance(value, Reason):
        return value
    limit = 1 << (bits - 1)
    return value if -limit <= value < limit else Reason.RANGE


def to_decimal(number: Numeral, precision: int, scale: int, *, rounds: bool) -> Decimal | Reason:
    """The exact value with `scale` digits behind its point; `range` where more than the others are before it.

    More digits behind the point are `type`, or rounded, half to even.
    """
    is_negative, digits, exponent = _taken_apart(number.text)
    places = len(digits) + exponent
    if digits and places > precision - scale:
        return Reason.RANGE
    if digits and exponent < -scale and not rounds:
        return Reason.TYPE
    if not digits or places + scale < 0:
        unscaled = 0
    elif exponent >= -scale:
        unscaled = int(digits) * 10 ** (exponent + scale)
    else:
        unscaled = _half_to_even(digits, places + scale)
    if unscaled >= 10**precision:
        return Reason.RANGE
    return Decimal((int(is_negative and unscaled > 0), tuple(map(int, str(unscaled))), -scale))


def is_whole(number: Numeral) -> bool:
    _, digits, exponent = _taken_apart(number.text)
    return exponent >= 0 or not digits


def numeral_of(text: str, *, comma: bool = False) -> Numeral | None:
    """The number that the text is, written as JSON writes it; None for another text."""
    match = (_COMMA_TEXT if comma else _POINT_TEXT).fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, bare_fraction, exponent = match.groups(default="")
    behind = fraction or bare_fraction
    return Numeral(f"{sign.strip('+')}{whole or '0'}{f'.{behind}' if behind else ''}{exponent}")


def canonical_number(number: Numeral) -> tuple[str, int, int]:
    """One text for each value, with the number of its digits before and behind the point.

    Zeros that only fill are written out while they are few: an exponent of a line costs no memory.
    """
    is_negative, digits, exponent = _taken_apart(number.text)
    if not digits:
        return "0", 1, 0
    places = len(digits) + exponent
    sign = "-" if is_negative else ""
    before, behind = max(places, 0), max(-exponent, 0)
    if 0 <= exponent <= _FILLED:
        return f"{sign}{digits}{'0' * exponent}", before, behind
    if exponent < 0 and places > 0:
        return f"{sign}{digits[:places]}.{digits[places:]}", before, behind
    if exponent < 0 and places > -_LEADING_ZEROS:
        return f"{sign}0.{'0' * -places}{digits}", before, behind
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{places - 1}", before, behind


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
