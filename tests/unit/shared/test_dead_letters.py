"""The part of a record that its dead letter contains where the record is larger than a dead letter may be."""

import pytest

from shared.bus.dead_letters import DLQ_HEADERS_BYTES, TRUNCATED_HEADER, truncate_to_limit
from shared.bus.messages import Record

MOST = 200_000
ROOM = MOST - DLQ_HEADERS_BYTES


def record(
    value: bytes | None, key: bytes | None = b"k", headers: tuple[tuple[str, bytes | None], ...] = ()
) -> Record:
    return Record("t", 0, 0, 0, key, value, headers)


@pytest.mark.parametrize("value", [None, b"", b"x", b"x" * (ROOM - 2)])
def test_what_fits_is_left_as_it_is(value: bytes | None) -> None:
    assert truncate_to_limit(record(value), MOST) == (record(value), [])


def test_a_value_that_is_too_large_is_truncated_and_a_header_has_its_length() -> None:
    body, truncation = truncate_to_limit(record(b"ab" * MOST, headers=(("h", b"1"),)), MOST)
    assert (body.key, body.headers) == (b"k", (("h", b"1"),))
    assert body.value == (b"ab" * MOST)[: len(body.value or b"")]
    assert ROOM - 100 < len(body.value or b"") <= ROOM
    assert truncation == [(TRUNCATED_HEADER, str(2 * MOST).encode())]


@pytest.mark.parametrize(
    ("key", "headers"), [(b"k" * MOST, ()), (b"k", (("h", b"v" * MOST),)), (None, (("h" * MOST, None),))]
)
def test_a_key_or_headers_that_are_too_large_go_before_the_value(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    body, truncation = truncate_to_limit(record(b"{}", key, headers), MOST)
    assert (body.value, body.headers) == (b"{}", ())
    assert len(body.key or b"") <= 1000
    assert truncation == [(TRUNCATED_HEADER, b"2")]
