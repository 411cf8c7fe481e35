"""Columns with any options, and records' values that may or may not be theirs, as texts of JSON."""

import json
from typing import Any

from hypothesis import strategies as st

from shared.datasets.types import FLOATS, NUMBERS, WHOLE_BITS, Type
from tests.support.every_type import SCALARS, TYPES, values

ODD_NUMBERS = (
    "0", "-0", "-0.0", "0.0", "1", "1.0", "1e0", "10e-1", "0.5", "1.5", "2.5", "-2.5", "127", "128", "-128", "-129",
    "32767", "32768",
    "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "16777217",
    "9007199254740993",
    "3.4028234663852886e38", "3.4028235677973366e38", "3.5e38", "1e308", "1.8e308", "1e400", "1e-400", "0e999999999",
    "0.00001", "0.1",
    "12.345", "99.995", "1" * 400, "0." + "1" * 400, "1.00000005960464477540", "123456789.123456789", "0.1234567891",
    "9223372036854.775807", "9223372036854.775806", "1e131071", "1e131072", "1e-16384", "1e20", "1e21", "1e-6", "1e-7",
)  # fmt: skip
ODD_TEXTS = (
    "", " ", " x ", "n/a", "-", "1", "-1", "+1", "007", "1.5", "1,5", "1.234,5", ".5", "5.", "1e3", "1e400", "NaN",
    "Infinity", "0x1f",
    "1_000", "true", "false", "yes", "no", "True", "\u0661", "١٢", "2026-11-29", "2026-11-29T10:00:00Z",
    "2026-11-29 10:00:00.123+01:00",
    "2026-11-29T10:00", "2016-12-31T23:59:60Z", "2026-11-29T24:00", "0001-01-01", "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+01:00",
    "10000-01-01", "2026-02-30", "29.11.2026", "1.2.2026 3:04", "29.11.2026 23:59", "2026-03-29T02:30:00",
    "2026-10-25T02:30:00",
    "2026-07-01T12:00:00", "2050-07-01T12:00:00", "1893-04-01T00:00:00", "08:30", "08:30:00", "08:30:00.1234567",
    "24:00", "23:59:60",
    "08:30:00Z", "8:30", "PT1S", "P1D", "-PT0.5S", "PT0,5S", "P1W2DT3H4M5.6S", "P1Y", "P1M", "PT", "P", "P1DT",
    "PT1.5H", "pt1s", "PT99999999999999S",
    "P99999999999W", "0b0e0000-0000-4000-8000-0000000000ff", "0B0E0000-0000-4000-8000-0000000000FF",
    "0b0e0000000040008000000000000001",
    "{0b0e0000-0000-4000-8000-0000000000ff}", "0b0e0000-0000-4000-8000-0000000000f", "QQ==", "QR==", "QQ", "Q Q=",
    "-_8=", "AAH/", "00ff",
    "00FF", "0", "0g", "new", "paid", "New", "it's", "\u00a0new\ufeff", "a\tb", "\\", '"', "é", "\ud800",
)  # fmt: skip
ODD_OTHERS = (
    "null", "true", "false", "[]", "{}", "[1]", '["x", null]', '{"a": 1}', '{"a": 1, "a": 2}', '{"a": {"b": [null]}}',
    "[[1], []]",
    '{"z": 1, "y": [1.50, -0.0, 1e3]}', '"\\u0000"', '{"\\u0000": 1}', '{"k\\u0061": 1}', '"\\ud83d\\ude00"',
    '["\\ud800"]',
)  # fmt: skip

RAW = st.one_of(
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_TEXTS).map(json.dumps),
    st.sampled_from(ODD_OTHERS),
)

_FORMATS = {
    "timestamp": ("%d.%m.%Y %H:%M", "%Y-%m-%d", "%b %d %y %I:%M %p", "%Y-%m-%dT%H:%M:%S%z"),
    "date": ("%d.%m.%Y", "%y%m%d", "%d %b %Y"),
    "time": ("%H:%M", "%I:%M:%S %p", "%H:%M:%S.%f"),
}


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    """A column as a file has it, named `x`."""
    kind: Type = draw(st.one_of(SCALARS, TYPES))
    names = {part.name for part in kind.parts()}
    found: dict[str, Any] = {"name": "x", "type": str(kind)}
    has_rules = draw(st.booleans())
    if has_rules and names - {"json", "list", "struct"}:
        found["trim"] = draw(st.booleans())
        found["empty_as_null"] = draw(st.booleans())
        found["nulls"] = draw(st.lists(st.sampled_from(("n/a", "-", "1", "new")), max_size=2, unique=True))
    if names & NUMBERS:
        found["decimal_comma"] = draw(st.booleans())
        found["inexact"] = draw(st.sampled_from(("refuse", "round", None)))
    if names & {*WHOLE_BITS, *FLOATS, "boolean"}:
        found["from_text"] = draw(st.booleans())
    if "boolean" in names:
        found["true_words"] = ("yes", "1") if draw(st.booleans()) else ()
    if "timestamp" in names:
        found["zone"] = draw(st.sampled_from((None, "Europe/Berlin", "America/New_York")))
    if "binary" in names and draw(st.booleans()):
        found["encoding"] = "hex"
    dated = sorted(names & set(_FORMATS))
    if len(dated) == 1:
        found["format"] = draw(st.sampled_from((None, *_FORMATS[dated[0]])))
    return found


def odd_values(kind: Type) -> st.SearchStrategy[str]:
    return RAW | values(kind).map(lambda written: written[0])
