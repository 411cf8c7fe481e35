"""Times of day and lengths of time. Both have microseconds; further digits are cut off."""

import re
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.numbers import Numeral, numeral_of, to_decimal
from services.processor.domain.readers.formats import Format
from services.processor.domain.readers.naming import other_type, shown
from services.processor.domain.readers.numbers import may_be_parsed
from services.processor.domain.readers.reader import Reader, Refusal
from services.processor.domain.readers.texts import TEXT, with_rules
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type
from shared.reasons import Reason

_CLOCK = (
    r"(?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
)
_CLOCK_TEXT = re.compile(_CLOCK)

_UNITS: Final = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""Seconds of each. Years and months have no length of their own."""

_LENGTH = (
    "(?P<sign>[+-]?)P(?:(?P<w>[0-9]{1,19})W)?(?:(?P<d>[0-9]{1,19})D)?"
    r"(?:T(?:(?P<h>[0-9]{1,19})H)?(?:(?P<m>[0-9]{1,19})M)?(?:(?P<s>[0-9]{1,19})(?:[.,](?P<f>[0-9]{1,9}))?S)?)?"
)
_LENGTH_TEXT = re.compile(_LENGTH)
_SURE_LENGTH = f"^{_LENGTH.replace('{1,19}', '{1,9}')}$"
_HAS_DIGIT_AT_END = "[0-9][WDHMS]$"

_MICROS: Final = 10**6
_MOST_MICROS: Final = 2**63 - 2
"""Drivers of PostgreSQL take one more for an interval without end."""

_NANO_DIGITS: Final = 9
_SECONDS = pa.decimal128(22, _NANO_DIGITS)
_SECOND_DIGITS: Final = 32


def time_reader(kind: Type, column: files.Column) -> Reader:
    form = Format(column.text_format) if column.text_format else None
    expected = f"a text in the format {column.text_format}" if form else "a text such as 08:30:00"

    def value(raw: Any) -> Any:
        text = raw if form is None or not isinstance(raw, str) else form.iso(raw)
        match = _CLOCK_TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return other_type(raw, expected)
        return f"{match['minute']}:{match['second'] or '00'}.{(match['fraction'] or '').ljust(6, '0')[:6]}"

    def read(texts: Array) -> Array | None:
        clocks = texts if form is None else form.isos(texts)
        if clocks is None:
            return None
        parts: Array = pc.extract_regex(clocks, f"^{_CLOCK}$")
        if parts.null_count != clocks.null_count:
            return None
        second = pc.struct_field(parts, "second")
        second = pc.if_else(pc.equal(second, pa.scalar("")), "00", second)
        fraction = pc.utf8_rpad(pc.utf8_slice_codeunits(pc.struct_field(parts, "fraction"), 0, 6), 6, "0")
        return pc.binary_join_element_wise(pc.struct_field(parts, "minute"), ":", second, ".", fraction, "")

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def duration_reader(kind: Type, column: files.Column) -> Reader:
    def read(values: Array) -> Array | None:
        return _lengths(values) if values.type == TEXT else _seconds(values)

    forms = (_SECONDS, TEXT) if may_be_parsed(column) else (TEXT,)
    return with_rules(Reader(arrow_type(kind), forms, read, _to_micros), column)


def _to_micros(raw: Any) -> Any:
    number = raw if isinstance(raw, Numeral) else numeral_of(raw) if isinstance(raw, str) else None
    if number is not None:
        return _of_number(number)
    match = _LENGTH_TEXT.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or not re.search(_HAS_DIGIT_AT_END, raw):
        return other_type(
            raw,
            "a text such as PT1H30M or a number of seconds"
            if isinstance(raw, str)
            else "a number of seconds or a text",
        )
    seconds = sum(int(match[unit] or 0) * length for unit, length in _UNITS.items())
    micros = seconds * _MICROS + int((match["f"] or "").ljust(6, "0")[:6])
    return _within(-micros if match["sign"] == "-" else micros, raw)


def _of_number(number: Numeral) -> Any:
    seconds = to_decimal(number, _SECOND_DIGITS, _NANO_DIGITS, rounds=False)
    if isinstance(seconds, Reason):
        more = "has more than 9 digits behind the point" if seconds is Reason.TYPE else "is beyond duration"
        return Refusal(seconds, f"{shown(number.text)} {more}")
    micros = int("".join(map(str, seconds.as_tuple().digits))) // 10 ** (_NANO_DIGITS - 6)
    return _within(-micros if seconds.is_signed() else micros, number.text)


def _within(micros: int, text: str) -> int | Refusal:
    if abs(micros) > _MOST_MICROS:
        return Refusal(Reason.RANGE, f"{shown(text)} is beyond duration")
    return micros


def _seconds(values: Array) -> Array | None:
    whole = pc.round(values, ndigits=6, round_mode="towards_zero")
    factor = pa.scalar(Decimal(_MICROS), pa.decimal128(7, 0))
    try:
        return _unless_endless(pc.multiply(whole, factor).cast(pa.int64()))
    except pa.ArrowInvalid:
        return None


def _lengths(texts: Array) -> Array | None:
    parts: Array = pc.extract_regex(texts, _SURE_LENGTH)
    is_whole = pc.all(pc.match_substring_regex(texts, _HAS_DIGIT_AT_END), min_count=0).as_py()
    if parts.null_count != texts.null_count or is_whole is False:
        return None
    fraction = pc.utf8_rpad(pc.utf8_slice_codeunits(pc.struct_field(parts, "f"), 0, 6), 6, "0")
    micros = fraction.cast(pa.int64())
    try:
        for unit, length in _UNITS.items():
            digits = pc.utf8_lpad(pc.struct_field(parts, unit), 1, "0").cast(pa.int64())
            micros = pc.add_checked(micros, pc.multiply_checked(digits, pa.scalar(length * _MICROS)))
    except pa.ArrowInvalid:
        return None
    is_negative = pc.equal(pc.struct_field(parts, "sign"), pa.scalar("-"))
    return _unless_endless(pc.if_else(is_negative, pc.negate(micros), micros))


def _unless_endless(micros: Array) -> Array | None:
    span = pc.min_max(micros)
    low, high = span["min"].as_py(), span["max"].as_py()
    return micros if low is None or (low >= -_MOST_MICROS and high <= _MOST_MICROS) else None
