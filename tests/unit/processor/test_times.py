from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.processor.domain.times import to_date, to_dates, to_timestamp, to_timestamps
from shared.reasons import Reason


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # numbers of a date and time


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-06", utc(2024, 5, 6)),
        ("2024-05-06T07:08", utc(2024, 5, 6, 7, 8)),
        ("2024-05-06 07:08:09", utc(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06T07:08:09Z", utc(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06T07:08:09.5Z", utc(2024, 5, 6, 7, 8, 9, 500_000)),
        ("2024-05-06T07:08:09.123456789Z", utc(2024, 5, 6, 7, 8, 9, 123_456)),
        ("2024-05-06T07:08:09+05:30", utc(2024, 5, 6, 1, 38, 9)),
        ("2024-05-06T07:08:09-0530", utc(2024, 5, 6, 12, 38, 9)),
        ("2024-05-06T07:08:09+02", utc(2024, 5, 6, 5, 8, 9)),
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", utc(9999, 12, 31, 23, 59, 59, 999_999)),
        ("2024-02-30", Reason.TYPE),
        ("2024-05-06t07:08:09z", utc(2024, 5, 6, 7, 8, 9)),
        ("2024-05-06 07:08z", utc(2024, 5, 6, 7, 8)),
        ("2016-12-31T23:59:60Z", utc(2017, 1, 1)),
        ("2016-12-31T23:59:60", utc(2017, 1, 1)),
        ("2016-12-31T23:59:60.999999Z", utc(2017, 1, 1)),
        ("2016-12-31t18:59:60-05:00", utc(2017, 1, 1)),
        ("2017-01-01T05:29:60.5+0530", utc(2017, 1, 1)),
        ("9999-12-31T22:59:60-00:30", utc(9999, 12, 31, 23, 30)),
        ("2024-02-28T24:00:00Z", utc(2024, 2, 29)),
        ("2024-12-31 24:00", utc(2025, 1, 1)),
        ("2024-05-06T24:00:00.000+02:00", utc(2024, 5, 6, 22)),
        ("9999-12-31T24:00:00+00:01", utc(9999, 12, 31, 23, 59)),
        ("0001-01-01T00:30:00-01:00", utc(1, 1, 1, 1, 30)),
        ("2024-05-06T24:00:01Z", Reason.TYPE),
        ("2024-05-06T24:01Z", Reason.TYPE),
        ("2024-05-06T24:00:00.1Z", Reason.TYPE),
        ("2024-05-06T24:00:60Z", Reason.TYPE),
        ("2024-05-06T25:00:00Z", Reason.TYPE),
        ("2024-05-06T23:59:61Z", Reason.TYPE),
        ("2024-05-06T23:60:00Z", Reason.TYPE),
        ("2024-05-06T07:08:09zz", Reason.TYPE),
        ("9999-12-31T23:59:60Z", Reason.RANGE),
        ("9999-12-31T24:00:00Z", Reason.RANGE),
        ("2024-05-06T07:08:09+24:00", Reason.TYPE),
        ("06.05.2024", Reason.TYPE),
        ("2024-05-06\n", Reason.TYPE),
        ("", Reason.TYPE),
        ("0000-01-01", Reason.RANGE),
        ("0000-12-31T23:59:59-01:00", Reason.RANGE),
        ("10000-01-01", Reason.RANGE),
        ("-0044-03-15", Reason.RANGE),
        ("9" * 5000 + "-03-15", Reason.RANGE),
        ("0001-01-01T00:00:00+00:01", Reason.RANGE),
        ("9999-12-31T23:59:59-00:01", Reason.RANGE),
    ],
)
def test_a_text_is_a_moment_in_utc_or_a_reason_why_not(text: str, moment: datetime | Reason) -> None:
    assert to_timestamp(text) == moment


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2023-02-29", Reason.TYPE),
        ("2024-05-06T00:00:00Z", Reason.TYPE),
        ("0000-01-01", Reason.RANGE),
        ("10000-01-01", Reason.RANGE),
    ],
)
def test_a_date_is_a_day_without_a_time(text: str, day: date | Reason) -> None:
    assert to_date(text) == day


@settings(deadline=None)
@given(st.lists(st.none() | st.datetimes().map(datetime.isoformat)))
def test_a_column_of_moments_is_read_at_once_as_each_of_them(texts: list[str | None]) -> None:
    column: pa.Array[Any] | None = to_timestamps(pa.array(texts, pa.string()))
    assert column is not None
    assert column.to_pylist() == [None if text is None else to_timestamp(text) for text in texts]


@settings(deadline=None)
@given(st.lists(st.none() | st.dates().map(date.isoformat)))
def test_a_column_of_days_is_read_at_once_as_each_of_them(texts: list[str | None]) -> None:
    column: pa.Array[Any] | None = to_dates(pa.array(texts, pa.string()))
    assert column is not None
    assert column.to_pylist() == [None if text is None else to_date(text) for text in texts]


def test_lower_case_is_parsed_at_once() -> None:
    column = to_timestamps(pa.array(["2024-05-06t07:08:09z", "2024-05-06T07:08:09Z", None]))
    assert column is not None
    assert column.to_pylist() == [utc(2024, 5, 6, 7, 8, 9), utc(2024, 5, 6, 7, 8, 9), None]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "x",
        "2016-12-31T23:59:60Z",
        "2024-05-06T24:00Z",
        "0000-01-01",
        "0000-12-31T23:59:59-01:00",
        "10000-01-01",
        "2024-05-06T00:00:00+24:00",
    ],
)
def test_a_column_with_one_doubtful_value_is_not_read_at_once(text: str) -> None:
    texts: pa.Array[Any] = pa.array(["2024-05-06", text])
    assert to_timestamps(texts) is None
    assert to_dates(texts) is None


SHORT_AND_FULL = [
    *("2026-01-31T10+02:00", "2026-01-31T10Z", "2026-01-31T10:20+02:00", "2026-01-31T10:20:30+0200"),
    *(
        "2026-01-31T10:20:30+24:00",
        "2026-01-31T10:20:60Z",
        "2026-01-31 10:20:30.5-01",
        "0000-12-31T23:00:00-02:00",
    ),
    *(
        "2026-02-30T10:20:30Z",
        "2026-01-31T10:20:30.1234567Z",
        "9999-12-31T23:59:59-01:00",
        "2026-01-31T10:20:30Z ",
    ),
]


@pytest.mark.parametrize("text", SHORT_AND_FULL)
def test_a_column_of_full_texts_is_read_as_each_of_them_alone(text: str) -> None:
    alone, column = to_timestamp(text), to_timestamps(pa.array([text, "2026-01-31T10:20:30Z"]))
    if column is not None:
        assert column[0].as_py() == alone
