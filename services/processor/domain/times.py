"""ISO 8601 texts to UTC, once for whole columns and once for a single value; both follow the same grammar.

Extended format: a date, or a date and a time with or without seconds, fraction and offset. No offset means UTC.
Digits below the microsecond are cut off. `t` and `z` are as good as `T` and `Z`. A second 60 is the first instant of
the next minute, with whatever fraction: so leap seconds keep their order. `24:00` is midnight of the next day.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shared.reasons import Reason

_DATE = "-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12][0-9]|3[01])"
_TIME = (
    r"(?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9])(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
)
_RARE_TIME = (
    r"(?:(?P<end>24:00(?::00(?:\.0{1,9})?)?)"
    r"|(?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9])(?::(?P<second>[0-5][0-9]|60)(?:\.(?P<fraction>[0-9]{1,9}))?)?)"
)
_ZONE = r"(?:[Zz]|(?P<zone>[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?))?"
_YEAR = "(?P<year>[0-9]{4})"
_ANY_YEAR = "(?P<year>[+-]?[0-9]{4,})"

_STAMP = re.compile(f"{_ANY_YEAR}{_DATE}(?:[Tt ]{_RARE_TIME}{_ZONE})?")
_DAY = re.compile(f"{_ANY_YEAR}{_DATE}")
_STAMP_COLUMN = f"^(?P<date>{_YEAR}{_DATE})(?:[Tt ]{_TIME}{_ZONE})?$"
_DAY_COLUMN = f"^{_YEAR}{_DATE}$"

STAMP_TYPE = pa.timestamp("us", tz="UTC")
_FULL_CHARS = len("2026-01-31T10:20:30Z")
_LEAP_SECOND = 60
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def to_timestamp(text: str) -> datetime | Reason:
    """The moment, or `type` for another text, or `range` for one outside the years 1 to 9999 in UTC."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return Reason.TYPE
    day = _to_day(match)
    if isinstance(day, Reason):
        return day
    hour, minute = map(int, (match["end"] or match["minute"] or "00:00").split(":")[:2])
    second = int(match["second"] or 0)
    micro = int((match["fraction"] or "0").ljust(6, "0")[:6]) if second < _LEAP_SECOND else 0
    try:
        # In one sum: an hour 24 and a second 60 are none of a `datetime`, and only the result must be in the calendar.
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + (
            timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micro)
            - _to_offset(match["zone"])
        )
    except OverflowError:
        return Reason.RANGE


def to_date(text: str) -> date | Reason:
    """The day, or `type` for another text, or `range` for one outside the years 1 to 9999."""
    match = _DAY.fullmatch(text)
    return Reason.TYPE if match is None else _to_day(match)


def to_timestamps(texts: "pa.Array[Any]") -> "pa.Array[Any] | None":
    """The column in UTC, or None if a single value is doubtful: then `to_timestamp` finds which and why."""
    moments = _of_full_texts(texts)
    if moments is None:
        moments = _of_any_texts(texts)
    if moments is None or not _within(moments, _FIRST, _LAST):
        return None
    is_early = not _within(moments, _FIRST + timedelta(days=1), _LAST)
    # An offset moves the last day of the year 0 into the calendar.
    if is_early and pc.any(pc.starts_with(texts, "0000")).as_py():
        return None
    return moments


def _of_full_texts(texts: "pa.Array[Any]") -> "pa.Array[Any] | None":
    """Of texts with seconds and an offset, in a fifth of the time. Arrow's own grammar is stricter, but takes an hour
    without minutes: such a text is shorter.
    """
    shortest = pc.min(pc.call_function("binary_length", [texts])).as_py()
    return None if shortest is None or shortest < _FULL_CHARS else _cast(texts)


def _of_any_texts(texts: "pa.Array[Any]") -> "pa.Array[Any] | None":
    parts = pc.extract_regex(texts, _STAMP_COLUMN)
    if parts.null_count != texts.null_count:
        return None
    minute, second, zone = (pc.struct_field(parts, name) for name in ("minute", "second", "zone"))
    fraction = pc.utf8_slice_codeunits(pc.struct_field(parts, "fraction"), 0, 6)
    canonical = pc.binary_join_element_wise(
        pc.struct_field(parts, "date"),
        "T",
        _or_else(minute, "00:00"),
        ":",
        _or_else(second, "00"),
        ".",
        pc.utf8_rpad(fraction, 6, "0"),
        _or_else(zone, "Z"),
        "",
    )
    return _cast(canonical)


def _cast(texts: "pa.Array[Any]") -> "pa.Array[Any] | None":
    try:
        moments: pa.Array[Any] = texts.cast(STAMP_TYPE)
    except pa.ArrowInvalid:
        return None
    return moments


def to_dates(texts: "pa.Array[Any]") -> "pa.Array[Any] | None":
    """As `to_timestamps`, for days."""
    if pc.all(pc.match_substring_regex(texts, _DAY_COLUMN)).as_py() is False:
        return None
    try:
        days = texts.cast(pa.date32())
    except pa.ArrowInvalid:
        return None
    return days if _within(days, _FIRST.date(), _LAST.date()) else None


def _to_day(match: re.Match[str]) -> date | Reason:
    try:
        year = int(match["year"])
    except ValueError:  # thousands of digits
        return Reason.RANGE
    if not 1 <= year <= _LAST.year or len(match["year"]) > len("9999"):
        return Reason.RANGE
    try:
        return date(year, int(match["month"]), int(match["day"]))
    except ValueError:
        return Reason.TYPE


def _to_offset(zone: str | None) -> timedelta:
    if zone is None:
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _or_else(texts: "pa.Array[Any]", default: str) -> "pa.Array[Any]":
    chosen: pa.Array[Any] = pc.if_else(pc.equal(texts, pa.scalar("")), default, texts)
    return chosen


def _within(values: "pa.Array[Any]", first: date, last: date) -> bool:
    span = pc.min_max(values)
    low, high = pa.scalar(first, values.type), pa.scalar(last, values.type)
    return bool(
        pc.and_(pc.greater_equal(span["min"], low), pc.less_equal(span["max"], high)).as_py() is not False
    )
