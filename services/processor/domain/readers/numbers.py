"""Integers, floats and decimals: from numbers of JSON, and from texts where the file says so."""

import sys
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.numbers import (
    Numeral,
    is_whole,
    numeral_of,
    to_decimal,
    to_float64,
    to_whole,
)
from services.processor.domain.readers.naming import other_type, shown
from services.processor.domain.readers.reader import Reader, Refusal
from services.processor.domain.readers.texts import TEXT, with_rules
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import WHOLE_BITS, Type
from shared.reasons import Reason

EXACT_FLOATS: Final = {"float32": 2.0**24, "float64": 2.0**53}
"""From here on not every integer is a float: only the digits tell whether one was rounded."""

LARGEST: Final = {"float32": 3.4028234663852886e38, "float64": sys.float_info.max}

_WIDE = pa.decimal256(76, 38)
"""Holds what is to be rounded to any decimal."""

_SURE_DIGITS: Final = 18
"""A decimal of 128 bits overflows in silence where the parser moves its point: of so few digits next to no such value
looks like one of the column's. Others are parsed into 256 bits.
"""

_ONE_WORD: Final = 2**32 - 2
"""Arrow rounds a decimal wrongly where its digits, without the point, take more than 32 bits."""

_DOUBTFUL_TEXT = "[eE]-|[0-9.,]{38}"
"""A power of ten below what Arrow's decimals know ends the process, and more digits than they have overflow."""

_WHOLE_TEXT = "^-?[0-9]{1,18}$"
_NUMBER_TEXT = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"


def whole_reader(kind: Type, column: files.Column) -> Reader:
    arrow, bits, rounds = arrow_type(kind), WHOLE_BITS[kind.name], column.rounds_as(kind.name)

    def value(raw: Any) -> Any:
        number = _number(raw, column)
        if number is None:
            return other_type(raw, _expected(kind, column))
        found = to_whole(number, bits, rounds=rounds)
        return _refusal(found, number, kind, rounds=rounds) if isinstance(found, Reason) else found

    def read(values: Array) -> Array | None:
        if values.type != TEXT:
            return values
        return _cast(values, arrow) if _all_match(values, _WHOLE_TEXT) else None

    return _of_numbers(Reader(arrow, (arrow,), read, value), column)


def float_reader(kind: Type, column: files.Column) -> Reader:
    arrow, rounds = arrow_type(kind), column.rounds_as(kind.name)
    limit = LARGEST[kind.name] if rounds else EXACT_FLOATS[kind.name] - 1

    def value(raw: Any) -> Any:
        number = _number(raw, column)
        if number is None:
            return other_type(raw, _expected(kind, column))
        found = to_float64(number, rounds=rounds)
        if kind.name == "float32" and not isinstance(found, Reason):
            found = _to_single(number, rounds=rounds)
        return _refusal(found, number, kind, rounds=rounds) if isinstance(found, Reason) else found

    def read(values: Array) -> Array | None:
        floats: Array | None = values
        if values.type == TEXT:
            floats = _cast(_with_point(values, column), arrow) if _all_numbers(values, column) else None
        return floats if floats is not None and _all_within(floats, limit) else None

    return _of_numbers(Reader(arrow, (arrow,), read, value), column)


def decimal_reader(kind: Type, column: files.Column) -> Reader:
    """The parser reads a decimal by its digits, from a number and from a text."""
    arrow, rounds = arrow_type(kind), column.rounds_as(kind.name)
    parsed = _WIDE if rounds else arrow if kind.precision <= _SURE_DIGITS else pa.decimal256(76, kind.scale)
    surely_rounded = Decimal((0, tuple(map(int, str(_ONE_WORD))), -kind.scale))
    # To negate a decimal would round it.
    least, most = (Decimal((sign, (9,) * kind.precision, -kind.scale)) for sign in (1, 0))

    def value(raw: Any) -> Any:
        number = _number(raw, column, takes_texts=True)
        if number is None:
            return other_type(
                raw,
                f"a text such as 12{',' if column.decimal_comma else '.'}50"
                if isinstance(raw, str)
                else "a number",
            )
        found = to_decimal(number, kind.precision, kind.scale, rounds=rounds)
        return _refusal(found, number, kind, rounds=rounds) if isinstance(found, Reason) else found

    def read(values: Array) -> Array | None:
        decimals: Array | None = values
        if values.type == TEXT:
            is_plain = _all_numbers(values, column) and not _any_match(values, _DOUBTFUL_TEXT)
            decimals = _cast(_with_point(values, column), parsed) if is_plain else None
        if decimals is None:
            return None
        span = pc.min_max(decimals)
        low, high = span["min"].as_py(), span["max"].as_py()
        if rounds:
            if low is not None and not (low > surely_rounded.copy_negate() and high < surely_rounded):
                return None
            return _cast(pc.round(decimals, ndigits=kind.scale, round_mode="half_to_even"), arrow)
        # The parser counts a number's digits before it moves the point, not after.
        return _cast(decimals, arrow) if low is None or (low >= least and high <= most) else None

    forms = (parsed,) if may_be_parsed(column) else (TEXT,)
    return with_rules(Reader(arrow, forms, read, value), column)


def may_be_parsed(column: files.Column) -> bool:
    """Whether a text may be read by the parser as a number: it knows no comma, and no number that means null."""
    return not column.decimal_comma and not any(numeral_of(text) for text in column.nulls)


def _of_numbers(reader: Reader, column: files.Column) -> Reader:
    takes_texts = column.from_text or column.decimal_comma
    forms = (*reader.forms, TEXT) if takes_texts else reader.forms
    return with_rules(Reader(reader.arrow, forms, reader.column, reader.value), column)


def _number(raw: Any, column: files.Column, *, takes_texts: bool = False) -> Numeral | None:
    if isinstance(raw, Numeral):
        return raw
    if isinstance(raw, str) and (takes_texts or column.from_text or column.decimal_comma):
        return numeral_of(raw, comma=column.decimal_comma)
    return None


def _expected(kind: Type, column: files.Column) -> str:
    if not (column.from_text or column.decimal_comma):
        return str(kind)
    fraction = f"{',' if column.decimal_comma else '.'}5"
    return f"a text such as 12{fraction if kind.name in LARGEST else ''}"


def _refusal(reason: Reason, number: Numeral, kind: Type, *, rounds: bool) -> Refusal:
    text = shown(number.text)
    if reason is Reason.TYPE and kind.name == "decimal":
        return Refusal(
            reason,
            f"{text} has more than {kind.scale} digits behind the point; `inexact: round` in the column's file "
            "would round it",
        )
    if reason is Reason.TYPE:
        return Refusal(
            reason, f"{text} is not a whole number; `inexact: round` in the column's file would round it"
        )
    if rounds or kind.name not in LARGEST:
        return Refusal(reason, f"{text} is beyond {kind}")
    return Refusal(
        reason,
        f"{text} is not exactly a {kind}; without `inexact: refuse` in the column's file it would be rounded",
    )


def _to_single(number: Numeral, *, rounds: bool) -> float | Reason:
    """The nearest float of 32 bits: by its digits, as rounding twice may miss it."""
    value: float = pa.scalar(number.text).cast(pa.float32()).as_py()
    if abs(value) > LARGEST["float32"]:
        return Reason.RANGE
    if not rounds and is_whole(number) and value != float(number.text):
        return Reason.RANGE
    return value


def _cast(values: Array, kind: pa.DataType) -> Array | None:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return None


def _all_match(texts: Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py() is not False


def _any_match(texts: Array, pattern: str) -> bool:
    return pc.any(pc.match_substring_regex(texts, pattern)).as_py() is True


def _all_numbers(texts: Array, column: files.Column) -> bool:
    return _all_match(texts, _NUMBER_TEXT.replace(r"\.", ",") if column.decimal_comma else _NUMBER_TEXT)


def _with_point(texts: Array, column: files.Column) -> Array:
    return pc.replace_substring(texts, ",", ".") if column.decimal_comma else texts


def _all_within(column: Array, limit: float) -> bool:
    span = pc.min_max(column)
    low, high = span["min"].as_py(), span["max"].as_py()
    return low is None or (low >= -limit and high <= limit)
