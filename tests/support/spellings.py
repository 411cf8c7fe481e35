"""One value, written in many ways."""

from decimal import Decimal

from hypothesis import strategies as st


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A JSON number: any digits with the point, the zeros and the exponent in any place."""
    digits = str(draw(st.integers(0, 10**22) | st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, 2**64])))
    digits += "0" * draw(st.integers(0, 25))
    places = draw(st.integers(0, len(digits) + 3))
    whole, fraction = _split(digits, places)
    shift = draw(st.integers(-30, 30) | st.just(places))
    sign = draw(st.sampled_from(["", "-"]))
    exponent = f"{draw(st.sampled_from('eE'))}{draw(_signs(shift))}{abs(shift):0{draw(st.integers(1, 4))}d}"
    return f"{sign}{whole}{'.' + fraction if fraction else ''}{exponent if shift else ''}"


@st.composite
def respellings(draw: st.DrawFn, value: Decimal) -> str:
    """Another text of the same number."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise TypeError("a number is expected")
    zeros = draw(st.integers(0, 30))
    text = "".join(map(str, digits)) + "0" * zeros
    places = draw(st.integers(0, len(text) + 5))
    whole, fraction = _split(text, places)
    shift = exponent - zeros + places
    mark = draw(st.sampled_from("eE"))
    return f"{'-' if sign else ''}{whole}{'.' + fraction if fraction else ''}{mark}{draw(_signs(shift))}{abs(shift)}"


def _split(digits: str, places: int) -> tuple[str, str]:
    padded = digits.rjust(places + 1, "0")
    return padded[: len(padded) - places].lstrip("0") or "0", padded[len(padded) - places :]


def _signs(shift: int) -> st.SearchStrategy[str]:
    return st.just("-") if shift < 0 else st.sampled_from(["", "+"])
