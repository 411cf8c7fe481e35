"""When a request is tried again, and after which pause."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.crawler.domain.fetching import RetryPolicy, is_retried

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("86400", 60.0),
        ("9" * 100, 60.0),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9.0),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 60.0),
        ("Tuesday, 24-Nov-26 06:00:05 GMT", 5.0),
        ("Tue Nov 24 06:00:05 2026", 5.0),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("", None),
        ("٣", None),
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("1 Jan 2027 99999999999999999999:00:00 GMT", None),
        ("1 Jan 2027 00:00:00 +99999999999999999999", None),
        (None, None),
    ],
)
def test_retry_after_is_read_and_capped(header: str | None, wait_s: float | None) -> None:
    assert RetryPolicy().retry_after_s(header, NOW) == wait_s


def test_pauses_grow_with_full_jitter_up_to_the_cap() -> None:
    random.seed(1)
    for tried, most_s in ((1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6), (20, 5.0)):
        pauses = [RetryPolicy().delay_s(tried) for _ in range(500)]
        assert 0 <= min(pauses) < most_s * 0.05
        assert most_s * 0.95 < max(pauses) <= most_s


def test_only_what_may_pass_is_retried() -> None:
    assert {status for status in range(400, 600) if is_retried(status)} == {408, 425, 429, *range(500, 600)}
