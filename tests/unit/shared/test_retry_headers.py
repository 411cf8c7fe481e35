"""The way to the retry topic and back loses nothing of a record."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.messages import Record
from shared.bus.retry_headers import Attempt, first_attempt, next_attempt, replay_headers, retry_headers
from shared.errors import PermanentError

AT = datetime(2026, 11, 24, 6, 0, 0, 123456, tzinfo=UTC)


def on_retry_topic(attempt: Attempt) -> Record:
    headers = retry_headers(attempt, first_failed_at=AT, due_at=AT)
    return Record("loader.retry", 3, 77, 5, attempt.record.key, attempt.record.value, tuple(headers))


header_names = st.text(max_size=20) | st.sampled_from(
    ["retry.topic", "retry.tries", "retry.replay", "dlq.tries"]
)


@given(
    key=st.none() | st.binary(max_size=40),
    value=st.none() | st.binary(max_size=200),
    headers=st.lists(st.tuples(header_names, st.none() | st.binary(max_size=30)), max_size=5),
    offset=st.integers(0, 2**62),
)
def test_a_record_comes_back_as_it_was(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]], offset: int
) -> None:
    record = Record("batch.processed", 5, offset, 1_795_000_000_000, key, value, tuple(headers))
    again = next_attempt(on_retry_topic(first_attempt(record)))
    assert again == Attempt(record, failed_tries=1, first_failed_at=AT, due_at=AT)
    assert next_attempt(on_retry_topic(again)).failed_tries == 2


def test_a_replayed_dead_letter_is_a_first_try_and_marked_as_a_replay() -> None:
    record = Record("batch.processed", 5, 9, 1, b"k", b"v", (("mine", b"1"),))
    sent = Record("loader.retry", 0, 0, 2, b"k", b"v", tuple(replay_headers(record, now=AT)))
    attempt = next_attempt(sent)
    assert attempt.is_replay
    assert (attempt.record, attempt.failed_tries) == (record, 0)
    assert not next_attempt(on_retry_topic(attempt)).is_replay


@pytest.mark.parametrize(
    "headers",
    [
        (("retry.tries", b"999"), ("retry.topic", b"other")),
        (("retry.topic", b"other"), ("retry.tries", b"999")),
        (("retry.replay", b"1"),),
        (("retry.topic", b"other"), ("retry.replay", b"1"), ("retry.due_at", b"9999-12-31T23:59:59Z")),
        (("x-retry-count", b"999"), ("retry.tries", None), ("retry.partition", b"\xff")),
        (("retry.topic", None), ("retry.topic", b"\xff"), ("retry.offset", b"-1")),
    ],
    ids=repr,
)
def test_headers_that_a_record_brought_itself_do_not_count_and_stay(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    record = Record("batch.processed", 0, 9, 1, b"k", b"v", headers)
    again = next_attempt(on_retry_topic(first_attempt(record)))
    assert again == Attempt(record, failed_tries=1, first_failed_at=AT, due_at=AT)
    assert next_attempt(on_retry_topic(again)).failed_tries == 2


def test_headers_that_a_mirror_appends_are_the_record_s_own() -> None:
    sent = on_retry_topic(first_attempt(Record("batch.processed", 0, 9, 1, b"k", b"v", (("a", b"1"),))))
    mirrored = Record("loader.retry", 0, 0, 1, b"k", b"v", (*sent.headers, ("traceparent", b"00-1")))
    assert next_attempt(mirrored).record.headers == (("a", b"1"), ("traceparent", b"00-1"))


@pytest.mark.parametrize(
    "headers",
    [(), (("retry.tries", b"x"),), (("retry.topic", None),), (("retry.topic", b"\xff"),)],
)
def test_a_record_without_retry_headers_is_refused(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    with pytest.raises(PermanentError):
        next_attempt(Record("loader.retry", 0, 0, 0, None, b"v", headers))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon"])
@pytest.mark.parametrize("name", ["retry.due_at", "retry.first_failed_at"])
def test_a_time_that_no_service_can_have_written_is_refused(name: str, text: str) -> None:
    record = on_retry_topic(first_attempt(Record("batch.processed", 0, 9, 1, b"k", b"v", ())))
    forged = Record(record.topic, 0, 0, 1, record.key, record.value, (*record.headers, (name, text.encode())))
    with pytest.raises(PermanentError, match="no record of a retry"):
        next_attempt(forged)


def test_tries_below_none_are_none() -> None:
    record = on_retry_topic(first_attempt(Record("batch.processed", 0, 9, 1, b"k", b"v", ())))
    forged = Record("loader.retry", 0, 0, 1, b"k", b"v", (*record.headers, ("retry.tries", b"-1000000")))
    assert next_attempt(forged).failed_tries == 0
