"""From bodies to lines: one bad record never costs its page, and a bad page is a failed try."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.crawler.domain import records
from services.crawler.domain.records import (
    MAX_DEPTH,
    BadBodyError,
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


def test_a_byte_order_mark_and_space_around_are_no_trouble() -> None:
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


BAD_RECORDS = [
    b'{"id":"\\ud800"}',
    b'{"id":"\\udfff\\ud800"}',
    b'{"id":NaN}',
    b'{"id":-Infinity}',
    b'{"id":"\xff\xfe"}',
    b'{"id":"\x01"}',
    b'{"id":1e999}',
    b'{"id":' + b"1" * 10_000 + b"}",
    b'{"id":"\x00"}',
    b"null",
    b"7",
    b'"text"',
    b"[]",
]


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_one_bad_record_does_not_cost_its_page(bad: bytes) -> None:
    page = split_page(b'[{"id":1}, ' + bad + b', {"id":3}]')
    assert lines_of(page) == [b'{"id":1}', bad, b'{"id":3}']


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_one_bad_record_does_not_cost_a_pretty_printed_page(bad: bytes) -> None:
    page = split_page(b'[\n  {"id":1},\n  ' + bad + b',\n  {"id":"\\ud800"}\n]\n')
    assert lines_of(page) == [b'{"id":1}', bad, b'{"id":"\\ud800"}']


def test_a_raw_newline_in_a_text_does_not_break_the_line() -> None:
    page = split_page(b'[{"id":"a\nb\r",\n"x":NaN}]')
    assert lines_of(page) == [b'{"id":"a\\nb\\r","x":NaN}']


NOT_JSON = [
    b"",
    b" ",
    b"<html></html>",
    b"[",
    b"[1",
    b"[1,",
    b"[1,]",
    b'[{"id":1},{"id"',
    b"[1]]",
    b"[1] [2]",
    b"[1]x",
    b"[tru]",
    b"[1 2]",
    b"\xff\xfe[\x001\x00]\x00",
    b'[{"id":NaN}',
    b'[{"id":NaN}]x',
    b"[{'id':NaN}]",
    b"[{id:NaN}]",
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="not JSON") as caught:
        split_page(body)
    assert caught.value.retryable


@pytest.mark.parametrize("body", [b"{}", b"null", b"7", b'"x"', b'{"error":"maintenance"}'])
def test_json_of_another_shape_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError, match=r"not a page of records: Expected `array`"):
        split_page(body)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"a":[]}', b'{"a":NaN}', b'{"data":{}}', b"[]", b'{"data":NaN}', b'{"a":NaN']
)
def test_a_page_without_its_array_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError):
        split_page(body, ("data",))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 5_000, 200_000])
@pytest.mark.parametrize("braces", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("inside", [b"1", b"NaN"])
def test_deep_nesting_fails_for_good(depth: int, braces: tuple[bytes, bytes], inside: bytes) -> None:
    body = b"[" + braces[0] * depth + inside + braces[1] * depth + b"]"
    with pytest.raises(BadBodyError, match="nested deeper") as caught:
        split_page(body)
    assert not caught.value.retryable
    with pytest.raises(BadBodyError, match="nested deeper"):
        split_item(body[1:-1])


@pytest.mark.parametrize("neighbour", [b"1", b"{}", b"[]", b'{"a":1}', b"null"])
@pytest.mark.parametrize("neighbours", [0, 1, 1000])
def test_one_deep_record_is_found_among_any_others(neighbour: bytes, neighbours: int) -> None:
    for depth, is_deep in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True)):
        record = b'{"a":' * depth + b"1" + b"}" * depth
        for place in {0, neighbours}:
            lines = [neighbour] * neighbours
            lines.insert(place, record)
            body = b"[" + b",".join(lines) + b"]"
            if is_deep:
                with pytest.raises(BadBodyError, match="nested deeper"):
                    split_page(body)
            else:
                assert split_page(body).rows == neighbours + 1


def test_depth_is_not_mistaken_for_number() -> None:
    wide = json.dumps([{"a": [[1]] * 500, "text": "[[[[[[{{{{" * 50, "esc": '\\"[[['}]).encode()
    assert split_page(wide).rows == 1
    deepest = b"[" + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]"
    assert split_page(deepest).rows == 1


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bounds, met at every place of a text."""
    for name, value in (
        ("MAX_RECORDS", 5),
        ("MAX_IDS", 5),
        ("COUNTED_AT_ONCE", 7),
        ("FIRST_LOOK_CHARS", 4),
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
    body = page % b",".join([element] * 200_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadBodyError, match="more than 1000 records"):
            split_page(body, () if page.startswith(b"[") else ("data",))
        assert tracemalloc.get_traced_memory()[1] < 50 * 200_000
    finally:
        tracemalloc.stop()


def test_members_of_a_page_that_nobody_wants_cost_no_memory() -> None:
    members = b",".join(b'"%d":1' % number for number in range(50_000))
    body = b"{" + members + b',"data":[{"id":1}]}'
    tracemalloc.start()
    try:
        assert split_page(body, ("data",)) == Records(b'{"id":1}', 1)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_a_record_longer_than_a_first_look_is_whole(bad: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_LOOK_CHARS", 4)
    numbers = [b"1234", b"123.5", b"12.5", b"1e+10", b"12e-1", b"123e1", b"-1.5e+1"]
    page = split_page(b'[{"id":1}, ' + bad + b", " + b",".join(numbers) + b', {"id":"\\ud800"}]')
    assert lines_of(page) == [b'{"id":1}', bad, *numbers, b'{"id":"\\ud800"}']


def test_an_odd_record_too_long_to_be_looked_into_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_LOOK_CHARS", 4)
    monkeypatch.setattr(records, "MAX_ODD_RECORD_CHARS", 20)
    assert split_page(b'[["012345678",NaN], {"id":1}]').rows == 2
    with pytest.raises(BadBodyError, match="a value of more than 20 characters"):
        split_page(b'[["0123456789012345",NaN], {"id":1}]')


def test_an_item_is_one_line() -> None:
    assert split_item(b'\xef\xbb\xbf\n{"id": 1,\n "text": "a"}\n') == Records(b'{"id": 1, "text": "a"}', 1)


def test_a_null_item_is_an_empty_placeholder() -> None:
    assert split_item(b" null\n") == Records(b"null", 1, empty=True)


@pytest.mark.parametrize("body", [b"7", b'"text"', b"[1, 2]", b'{"id":"\\ud800"}', b'{"id":NaN}'])
def test_an_item_that_is_no_object_goes_through_as_it_is(body: bytes) -> None:
    assert split_item(body) == Records(body, 1)


@pytest.mark.parametrize("body", [b"", b"1,2", b"<html>", b'{"id":1', b'{"id":1}{"id":2}', b"],["])
def test_an_item_that_is_no_json_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="not JSON"):
        split_item(body)


def test_ids_are_integers_and_texts() -> None:
    assert read_ids(b'[1, "b", 3]') == [1, "b", 3]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("body", [b"[1,2,3,4,5,6]", b'["a,b","",3,4,"]",6]', b"[1,1,1,1,1,1]"])
def test_more_ids_than_a_plan_holds_are_refused_before_they_are_read(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="more than 5 ids") as caught:
        read_ids(body)
    assert not caught.value.retryable


@pytest.mark.usefixtures("few")
def test_commas_in_ids_do_not_count() -> None:
    assert read_ids(b'["a,b,c,d","e,f,g,h,i"]') == ["a,b,c,d", "e,f,g,h,i"]


@pytest.mark.parametrize(
    "body", [b"{}", b"[1.5]", b"[null]", b"[true]", b"[[1]]", b"[{}]", b"", b"<html>", b'["\\ud800"]']
)
def test_a_list_of_anything_else_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError):
        read_ids(body)
