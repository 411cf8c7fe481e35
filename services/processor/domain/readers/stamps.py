"""Moments and days: ISO 8601 or the file's own format, in UTC or the file's time zone."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.readers.formats import Format
from services.processor.domain.readers.naming import other_type, shown
from services.processor.domain.readers.reader import Reader, Refusal
from services.processor.domain.readers.texts import TEXT, with_rules
from services.processor.domain.times import STAMP_TYPE, to_date, to_dates, to_timestamp, to_timestamps
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type
from shared.reasons import Reason

_OFFSET = "[Tt ].*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$"
_HAS_OFFSET = re.compile(_OFFSET, re.DOTALL)

_SAME_RULES = (datetime(1970, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001 - bounds of local times
"""Between these Arrow and Python read the same from the tables of time zones: behind them Arrow knows no summer."""

_LOCAL = pa.timestamp("us")


def timestamp_reader(kind: Type, column: files.Column) -> Reader:
    form = Format(column.text_format) if column.text_format else None
    zone = ZoneInfo(column.zone) if column.zone else None

    def value(raw: Any) -> Any:
        if not isinstance(raw, str):
            return other_type(raw, _expected("timestamp", column))
        text = raw if form is None else form.iso(raw)
        found = Reason.TYPE if text is None else to_timestamp(text)
        if (
            zone is not None
            and text is not None
            and isinstance(found, datetime)
            and not _HAS_OFFSET.search(text)
        ):
            found = _in_zone(found, zone)
            if isinstance(found, Reason):
                return Refusal(found, f"{shown(raw)!r} is no time of {column.zone}")
        return _refusal(found, raw, "timestamp", column) if isinstance(found, Reason) else found

    def read(texts: Array) -> Array | None:
        iso = texts if form is None else form.isos(texts)
        moments = None if iso is None else to_timestamps(iso)
        if moments is None or iso is None or column.zone is None:
            return moments
        return _all_in_zone(moments, iso, column.zone)

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def date_reader(kind: Type, column: files.Column) -> Reader:
    form = Format(column.text_format) if column.text_format else None

    def value(raw: Any) -> Any:
        if not isinstance(raw, str):
            return other_type(raw, _expected("date", column))
        text = raw if form is None else form.iso(raw)
        found = Reason.TYPE if text is None else to_date(text)
        return _refusal(found, raw, "date", column) if isinstance(found, Reason) else found

    def read(texts: Array) -> Array | None:
        iso = texts if form is None else form.isos(texts)
        return None if iso is None else to_dates(iso)

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def _refusal(reason: Reason, raw: str, name: str, column: files.Column) -> Refusal:
    if reason is Reason.TYPE:
        return other_type(raw, _expected(name, column))
    return Refusal(reason, f"a text beyond the range of {_expected(name, column)}")


def _expected(name: str, column: files.Column) -> str:
    if column.text_format is not None:
        return f"a text in the format {column.text_format}"
    return {"timestamp": "a timestamp such as 2026-11-29T10:00:00Z", "date": "a date such as 2026-11-29"}[
        name
    ]


def _in_zone(moment: datetime, zone: ZoneInfo) -> datetime | Reason:
    """The first moment that has this local time; `range` where none has it."""
    local = moment.replace(tzinfo=None)
    try:
        found = local.replace(tzinfo=zone).astimezone(UTC)
        is_there = found.astimezone(zone).replace(tzinfo=None) == local
    except OverflowError:
        return Reason.RANGE
    return found if is_there else Reason.RANGE


def _all_in_zone(moments: Array, texts: Array, zone: str) -> Array | None:
    has_offset = pc.match_substring_regex(texts, _OFFSET)
    local = pc.if_else(has_offset, pa.scalar(None, _LOCAL), moments.cast(_LOCAL))
    span = pc.min_max(local)
    low, high = span["min"].as_py(), span["max"].as_py()
    if low is not None and not (low >= _SAME_RULES[0] and high < _SAME_RULES[1]):
        return None
    try:
        placed = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="raise").cast(STAMP_TYPE)
    except pa.ArrowInvalid:
        return None
    return pc.if_else(has_offset, moments, placed)
