"""What a number is worth decides, not how it is written."""

import time
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.processor.domain.numbers import Numeral, to_float64, to_int64
from shared.reasons import Reason
from tests.support.spellings import respellings, spellings

VALUES = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20
) | st.builds(
    lambda whole, half: Decimal(whole) + (Decimal("0.5") if half else 0),
    st.integers(-(2**64), 2**64),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1),
        ("1e3", 1000),
        ("12.50e1", 125),
        ("-0.0", 0),
        ("-0", 0),
        ("0.000e999999999999999999", 0),
        ("9007199254740993.0", 9007199254740993),
        ("9223372036854775807.000", 2**63 - 1),
        ("-9.223372036854775808E+18", -(2**63)),
        ("9223372036854775808.0", Reason.RANGE),
        ("-9223372036854775809e0", Reason.RANGE),
        ("1e19", Reason.RANGE),
        ("1.5", Reason.TYPE),
        ("1e-1", Reason.TYPE),
        ("9223372036854775807.5", Reason.TYPE),
    ],
)
def test_an_int64_takes_what_is_a_whole_number_within_64_bits(text: str, value: int | Reason) -> None:
    assert to_int64(Numeral(text), rounds=False) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0),
        ("1.5", 2),
        ("2.5", 2),
        ("-2.5", -2),
        ("-3.5", -4),
        ("2.5000000000000000000000000000000000001", 3),
        ("0.05e1", 0),
        ("0.4999", 0),
        ("1e-400", 0),
        ("9223372036854775807.4", 2**63 - 1),
        ("9223372036854775807.5", Reason.RANGE),
        ("-9223372036854775808.5", -(2**63)),
        ("1e30", Reason.RANGE),
    ],
)
def test_an_int64_that_rounds_takes_the_nearest_and_of_two_the_even_one(
    text: str, value: int | Reason
) -> None:
    assert to_int64(Numeral(text), rounds=True) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("123456789012345680000", 123456789012345683968.0),
        ("9007199254740993", 9007199254740992.0),
        ("9007199254740993.0", 9007199254740992.0),
        ("1e22", 1e22),
        ("10000000000000000000000", 1e22),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1e-400", 0.0),
        ("1e309", Reason.RANGE),
        ("-" + "9" * 400, Reason.RANGE),
    ],
)
def test_a_float64_takes_the_nearest_double(text: str, value: float | Reason) -> None:
    assert to_float64(Numeral(text), rounds=True) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", Reason.RANGE),
        ("9007199254740993.0", Reason.RANGE),
        ("9.007199254740993e15", Reason.RANGE),
        ("123456789012345680000", Reason.RANGE),
        ("123456789012345683968", 123456789012345683968.0),
        ("1.23456789012345683968e20", 123456789012345683968.0),
        ("9007199254740992", 9007199254740992.0),
        ("1e22", 1e22),
        ("1e23", Reason.RANGE),
        ("0.1", 0.1),
        ("9007199254740993.5", 9007199254740994.0),
        ("-0", -0.0),
    ],
)
def test_a_float64_that_refuses_takes_no_whole_number_that_is_not_a_double(
    text: str, value: float | Reason
) -> None:
    assert to_float64(Numeral(text), rounds=False) == value


@given(spellings())
def test_an_int64_is_the_whole_number_that_is_written(text: str) -> None:
    exact = Decimal(text)
    whole = exact.to_integral_value(ROUND_HALF_EVEN)
    rounded = int(whole) if -(2**63) <= whole < 2**63 else Reason.RANGE
    assert to_int64(Numeral(text), rounds=True) == rounded
    assert to_int64(Numeral(text), rounds=False) == (rounded if whole == exact else Reason.TYPE)


@given(spellings())
def test_a_float64_that_refuses_is_what_is_written_where_that_is_whole(text: str) -> None:
    exact, nearest = Decimal(text), float(text)
    is_exact = exact != exact.to_integral_value() or Decimal(nearest) == exact
    assert to_float64(Numeral(text), rounds=False) == (nearest if is_exact else Reason.RANGE)


@given(VALUES, st.data())
def test_another_spelling_of_a_number_is_the_same_number(value: Decimal, data: st.DataObject) -> None:
    one, other = (Numeral(data.draw(respellings(value))) for _ in range(2))
    for rounds in (True, False):
        assert to_int64(one, rounds=rounds) == to_int64(other, rounds=rounds)
        assert repr(to_float64(one, rounds=rounds)) == repr(to_float64(other, rounds=rounds))


@pytest.mark.parametrize(
    "text",
    [
        "1e999999999999",
        "1e-999999999999",
        "1" + "0" * 10**6,
        "9" * 10**6,
        "0." + "3" * 10**6,
        "1." + "0" * 10**6 + "1",
        "1" * 10**6 + "e-" + "9" * 10**6,
        "1e" + "0" * 10**6 + "1",
    ],
    ids=lambda text: f"{text[:8]}... {len(text)}",
)
def test_an_absurd_number_costs_no_more_than_a_look_at_its_digits(text: str) -> None:
    begun = time.process_time()
    for rounds in (True, False):
        to_int64(Numeral(text), rounds=rounds)
        to_float64(Numeral(text), rounds=rounds)
    # Multiplied out, each would take minutes or all memory.
    assert time.process_time() - begun < 5
