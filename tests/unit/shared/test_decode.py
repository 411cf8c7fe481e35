"""From bytes to events: strict, and never a surprise."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.events.decode import MAX_EVENT_BYTES, decode_event, encode, parse_object
from shared.events.models import REVISION, BatchManifest, CrawlBatchRequested, CursorWork, RunDrained
from shared.reasons import Reason

GOOD: dict[str, Any] = {"run_id": "r", "requested_at": "2026-11-24T06:00:00Z"}


def reason_of(value: bytes | None) -> Reason:
    with pytest.raises(PermanentError) as caught:
        decode_event(RunDrained, value)
    return caught.value.reason


def variant(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_an_event_survives_the_way_there_and_back() -> None:
    event = decode_event(RunDrained, variant())
    assert decode_event(RunDrained, encode(event)) == event


def test_a_manifest_reads_the_same_in_whatever_order_its_nulls_were_stored() -> None:
    fields = {"run_id": "r", "dataset": "d", "batch_id": "0" * 32, "sequence": 0, "stage": "loader"}
    fields |= {"requested_at": GOOD["requested_at"], "produced_at": GOOD["requested_at"], "code_version": "x"}
    orders: list[dict[str, int]] = [{"user": 0, "value": 1, "group": 2}, {"user": 0, "group": 2, "value": 1}]
    first, second = (
        decode_event(BatchManifest, json.dumps({**fields, "nulls": nulls}).encode()) for nulls in orders
    )
    assert encode(first) == encode(second)


def test_times_sort_as_texts_do() -> None:
    texts = ["2026-11-24T06:00:05Z", "2026-11-24T06:00:05.02Z", "2026-11-24T08:00:05.020001+02:00"]
    written = [
        json.loads(encode(decode_event(RunDrained, variant(requested_at=text))))["requested_at"]
        for text in texts
    ]
    assert written == sorted(written)
    assert written[-1] == "2026-11-24T06:00:05.020001Z"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.DECODE),
        (b"", Reason.DECODE),
        (b"{", Reason.DECODE),
        (b'{"run_id": "r"', Reason.DECODE),
        (b"\xef\xbb\xbf{}", Reason.DECODE),
        ('{"run_id": "r"}'.encode("utf-16"), Reason.DECODE),
        (b'{"a": NaN}', Reason.DECODE),
        (b'{"a": 1}{"b": 2}', Reason.DECODE),
        (b'{"a": "\\ud800"}', Reason.DECODE),
        (b"[" * 10_000, Reason.DECODE),
        (b'{"version": 1, "x": ' + b"[" * 300 + b"]" * 300 + b"}", Reason.DECODE),
        (b'{"x": ' + b'{"x": ' * 1000 + b"1" + b"}" * 1000 + b"}", Reason.DECODE),
        (b"[1]", Reason.SCHEMA),
        (b'"text"', Reason.SCHEMA),
        (b"null", Reason.SCHEMA),
        (b"{}", Reason.SCHEMA),
        (b'{"a": "' + b"x" * MAX_EVENT_BYTES + b'"}', Reason.TOO_LARGE),
    ],
)
def test_what_is_not_an_event_has_a_reason(value: bytes | None, reason: Reason) -> None:
    assert reason_of(value) is reason


@pytest.mark.parametrize("version", [-1, 0, 2, 99, "1", True, None, 1.5])
def test_another_version_is_refused(version: Any) -> None:
    assert reason_of(variant(version=version)) is Reason.VERSION


def test_an_unknown_field_of_this_revision_is_refused() -> None:
    assert reason_of(variant(more=1)) is Reason.SCHEMA


def test_unknown_fields_of_a_newer_revision_are_dropped() -> None:
    event = decode_event(RunDrained, variant(more=1, revision=REVISION + 1))
    assert event.run_id == "r"


def test_unknown_fields_of_a_newer_revision_are_dropped_in_the_parts_of_an_event_too() -> None:
    cursor = CursorWork(url="http://h/things", first_position=3)
    unit = CrawlBatchRequested(
        revision=REVISION + 1,
        run_id="r",
        dataset="posts",
        batch_id="0" * 32,
        sequence=1,
        requested_at=datetime(2026, 11, 24, tzinfo=UTC),
        work=cursor,
    )
    document = orjson.loads(encode(unit))
    document["work"]["more"] = 1
    assert decode_event(CrawlBatchRequested, orjson.dumps(document)).work == cursor
    document["revision"] = REVISION
    with pytest.raises(PermanentError, match=r"work\.cursor\.more"):
        decode_event(CrawlBatchRequested, orjson.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": 5},
        {"run_id": "a/b"},
        {"run_id": "a\n"},
        {"run_id": None},
        {"requested_at": 5},
        {"requested_at": "2026-11-24T06:00:00"},
        {"requested_at": "yesterday"},
        {"requested_at": "9999-12-31T23:59:59-14:00"},
        {"requested_at": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_field_of_another_type_or_form_is_refused(changes: dict[str, Any]) -> None:
    assert reason_of(variant(**changes)) is Reason.SCHEMA


def test_the_error_text_does_not_repeat_the_input() -> None:
    with pytest.raises(PermanentError) as caught:
        decode_event(RunDrained, variant(run_id="hunter2/secret"))
    assert "hunter2" not in str(caught.value)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_permanent_errors(value: bytes) -> None:
    try:
        decoded: object = decode_event(BatchManifest, value)
    except PermanentError as error:
        decoded = error.reason
    assert isinstance(decoded, BatchManifest | Reason)


def test_a_large_document_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(PermanentError) as caught:
        parse_object(b"{" * (MAX_EVENT_BYTES + 1))
    assert caught.value.reason is Reason.TOO_LARGE
