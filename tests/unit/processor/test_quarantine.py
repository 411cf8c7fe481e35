import base64
import json
from typing import Any

import pytest

from services.processor.domain.parse import Refused
from services.processor.domain.quarantine import (
    MAX_RAW_BYTES,
    Request,
    RequestLog,
    quarantine_line,
    read_request_log,
)
from shared.errors import PermanentError
from shared.reasons import Reason

LOG = RequestLog(
    [
        Request(place=3, rows=1, url="/c", reason="fetch", detail="503 after 5 tries"),
        Request(place=0, rows=2, url="/a"),
        Request(place=2, rows=0, url="/nothing"),
        Request(place=4, rows=1, url="/d", reason="empty"),
    ]
)


def line_of(refused: Refused, first_position: int = 0) -> dict[str, Any]:
    reason, data = quarantine_line(refused, LOG, first_position)
    assert data.endswith(b"\n")
    line = json.loads(data)
    assert line["reason"] == reason
    assert isinstance(line, dict)
    return line


def refused(line: int, raw: bytes = b"{}", *, is_placeholder: bool = False) -> Refused:
    reason = Reason.EMPTY if is_placeholder else Reason.TYPE
    return Refused(line, reason, "words", raw, is_placeholder=is_placeholder)


def test_a_refused_record_is_named_by_position_reason_and_url() -> None:
    assert line_of(refused(1), first_position=100) == {
        "source_position": 101,
        "reason": "type",
        "detail": "words",
        "url": "/a",
        "raw": "{}",
    }


@pytest.mark.parametrize(("line", "url"), [(0, "/a"), (1, "/a"), (2, None), (3, "/c"), (4, "/d"), (5, None)])
def test_the_url_is_that_of_the_request_the_line_came_from(line: int, url: str | None) -> None:
    assert line_of(refused(line))["url"] == url


def test_a_failed_request_s_placeholder_carries_its_reason() -> None:
    line = line_of(refused(3, b"null", is_placeholder=True))
    assert (line["reason"], line["detail"], line["raw"]) == ("fetch", "503 after 5 tries", "null")


def test_an_empty_item_s_placeholder_is_empty() -> None:
    assert line_of(refused(4, b"null", is_placeholder=True))["reason"] == "empty"


def test_a_null_in_a_page_that_came_is_empty() -> None:
    line = line_of(refused(0, b"null", is_placeholder=True))
    assert (line["reason"], line["detail"], line["url"]) == ("empty", "words", "/a")


@pytest.mark.parametrize("raw", [b"\xff{}", b'"a\0b"', b"\xed\xa0\x80", b"caf\xc3"])
def test_bytes_that_a_database_would_not_take_as_text_are_stored_in_base64(raw: bytes) -> None:
    line = line_of(refused(0, raw))
    assert "raw" not in line
    assert base64.b64decode(line["raw_base64"]) == raw


def test_a_long_line_is_cut_with_a_note() -> None:
    line = line_of(refused(0, b'"' + "é".encode() * MAX_RAW_BYTES))
    assert line["raw"] == '"' + "é" * ((MAX_RAW_BYTES - 1) // 2)
    assert str(2 * MAX_RAW_BYTES + 1) in line["detail"]


@pytest.mark.parametrize(
    "raw", [b"null", b"[]", b"not json", b'{"place":"x","rows":1}', b'{"rows":1}', b"\xff"]
)
def test_what_is_not_a_requests_log_is_refused(raw: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        read_request_log(raw + b"\n")
    assert caught.value.reason == Reason.SCHEMA


def test_a_requests_log_may_have_more_fields_than_are_read() -> None:
    log = read_request_log(
        b'{"place":0,"rows":2,"url":"/a","status":200,"reason":null,"detail":null,"fetched_at":"2026-11-23T00:00:00Z"}\n'
    )
    assert log.find(1) == Request(place=0, rows=2, url="/a")
