"""From bodies to lines: as many as there are records, byte for byte, within bounds."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.crawler.domain import records
from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.records import (
    Records,
    read_ids,
    split_item,
    split_page,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def lines_of(page: Records) -> list[bytes]:
    return page.data.split(b"\n") if page.rows else []


@given(st.lists(JSON, max_size=8), st.sampled_from([None, 1, 2]), st.booleans())
def test_records_come_out_as_they_went_in_one_a_line(
    rows: list[Any], indent: int | None, ascii_only: bool
) -> None:
    page = split_page(
        json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )
    assert page.rows == len(rows)
    assert [json.loads(line) for line in lines_of(page)] == json.loads(json.dumps(rows))


@given(st.lists(JSON, max_size=8), st.integers(0, 10))
def test_no_more_than_asked_for_are_taken(rows: list[Any], most: int) -> None:
    page = split_page(json.dumps(rows).encode(), most=most)
    assert page.rows == len(lines_of(page)) == min(most, len(rows))


def test_the_text_of_a_record_is_not_touched() -> None:
    body = b'[ {"price": 1.10, "big": 12345678901234567890123, "a":1, "a":2, "e": "\\u00e9"} ]'
    assert lines_of(split_page(body)) == [body[2:-2]]


def test_a_byte_order_mark_and_space_around_are_ignored() -> None:
    assert lines_of(split_page(b'\xef\xbb\xbf \r\n[\t{"id":1} ,\n {"id":2}]\n')) == [b'{"id":1}', b'{"id":2}']


def test_pretty_printed_records_are_put_on_one_line() -> None:
    rows = [{"id": 1, "text": "a\nb\r\nc"}, {"id": 2}]
    page = split_page(json.dumps(rows, indent=2).replace("\n", "\r\n").encode())
    assert [json.loads(line) for line in lines_of(page)] == rows


@pytest.mark.parametrize("path", [("data",), ("data", "items"), ("a b", "ü"), ('a"b', "\\", "\n")])
def test_records_are_found_at_their_path(path: tuple[str, ...]) -> None:
    inner: Any = [{"id": 1}, {"id": 2}]
    for key in reversed(path):
        inner = {"x": [1, {"data": 3}], key: inner, "z": None}
    assert lines_of(split_page(json.dumps(inner).encode(), path)) == [b'{"id": 1}', b'{"id": 2}']
    with_surrogate = json.dumps(inner).replace('"id": 2', '"id": "\\ud800"').encode()
    assert lines_of(split_page(with_surrogate, path)) == [b'{"id": 1}', b'{"id": "\\ud800"}']


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bounds, met at every place of a text."""
    for name, value in (
        ("MAX_RECORDS", 5),
        ("MAX_IDS", 5),
        ("COUNTED_AT_ONCE", 7),
        ("JOINED_AT_ONCE", 2),
    ):
        monkeypatch.setattr(records, name, value)


STRUCTURED = st.text(st.sampled_from('",[]{}\\:a'), max_size=8)
WIDE = st.recursive(
    st.none() | st.integers() | STRUCTURED,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(STRUCTURED, inner, max_size=9),
    max_leaves=40,
)


@pytest.mark.usefixtures("few")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(WIDE, max_size=9),
    st.sampled_from([None, 1]),
    st.sampled_from([(), ("data",)]),
    st.sampled_from([None, float("nan"), "\ud800"]),
)
def test_a_page_is_refused_by_the_number_of_its_records_whatever_is_in_them(
    rows: list[Any], indent: int | None, path: tuple[str, ...], odd: Any
) -> None:
    page: Any = [*rows, odd]
    if path:
        page = {"before": odd, "wide": [odd] * 9, "data": page, "after": [[]] * 9}
    body = json.dumps(page, indent=indent).encode()
    if len(rows) + 1 <= 5:
        assert [json.loads(line) for line in lines_of(split_page(body, path))][:-1] == rows
    else:
        with pytest.raises(BadBodyError, match="more than 5 records") as caught:
            split_page(body, path)
        assert (caught.value.retryable, caught.value.outcome) == (False, "too_large")


@pytest.mark.parametrize("element", [b"1", b'""', b"{}", b"\n1", b"NaN"])
@pytest.mark.parametrize("page", [b"[%b]", b'{"data":[%b]}', b'{"odd":NaN,"data":[%b]}'])
def test_a_page_of_nothing_but_records_costs_no_memory_for_each(
    element: bytes, page: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORDS", 1000)
    body = page % b",".join([element] * 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadBodyError, match="more than 1000 records"):
            split_page(body, () if page.startswith(b"[") else ("data",))
        assert tracemalloc.get_traced_memory()[1] < 50 * 100_000
    finally:
        tracemalloc.stop()


def test_members_of_a_page_that_are_not_read_cost_no_memory() -> None:
    members = b",".join(b'"%d":1' % number for number in range(50_000))
    body = b"{" + members + b',"data":[{"id":1}]}'
    tracemalloc.start()
    try:
        assert split_page(body, ("data",)) == Records(b'{"id":1}', 1)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()


def test_an_item_is_one_line() -> None:
    assert split_item(b'\xef\xbb\xbf\n{"id": 1,\n "text": "a"}\n') == Records(b'{"id": 1, "text": "a"}', 1)


def test_a_null_item_is_an_empty_placeholder() -> None:
    assert split_item(b" null\n") == Records(b"null", 1, empty=True)


@pytest.mark.parametrize("body", [b"7", b'"text"', b"[1, 2]", b'{"id":"\\ud800"}', b'{"id":NaN}'])
def test_an_item_that_is_not_an_object_goes_through_as_it_is(body: bytes) -> None:
    assert split_item(body) == Records(body, 1)


@pytest.mark.parametrize("body", [b"1,2", b"<html>", b'{"id":1', b'{"id":1}{"id":2}', b"],["])
def test_an_item_that_is_not_json_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="not JSON"):
        split_item(body)


def test_ids_are_integers_and_texts() -> None:
    assert list(read_ids(b'[1, "b", 3]')) == [1, "b", 3]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("body", [b"[1,2,3,4,5,6]", b'["a,b","",3,4,"]",6]', b"[1,1,1,1,1,1]"])
def test_more_ids_than_fit_a_plan_are_refused_before_they_are_read(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="more than 5 ids") as caught:
        list(read_ids(body))
    assert not caught.value.retryable


@pytest.mark.usefixtures("few")
def test_commas_in_ids_do_not_count() -> None:
    assert list(read_ids(b'["a,b,c,d","e,f,g,h,i"]')) == ["a,b,c,d", "e,f,g,h,i"]


@pytest.mark.parametrize(
    "body", [b"[1.5]", b"[null]", b"[true]", b"[[1]]", b"[{}]", b"7", b"<html>", b'["\\ud800"]']
)
def test_a_list_of_anything_else_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError):
        list(read_ids(body))
