"""One odd record costs itself, never its page; a page without a structure is a failed try that names the place."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crawler.domain import records
from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.records import Records, split_item, split_page

DEEP = 100_000

ODD = {
    "an escaped apostrophe": rb"""{"id":2,"name":"it\'s"}""",
    "a hexadecimal escape": rb'{"id":2,"name":"\x41"}',
    "an escape that is cut off": rb'{"id":2,"name":"\u12"}',
    "an escape without digits": rb'{"id":2,"name":"\u"}',
    "a lone backslash": rb'{"id":2,"name":"C:\Program Files\"}","more":1}',
    "a path of Windows": rb'{"id":2,"name":"C:\users\new"}',
    "backslashes before a quote": rb'{"id":2,"name":"\\\\\"]}\\"}',
    "an escape outside a text": rb"{\"id\":2}",
    "half a surrogate pair": rb'{"id":"\ud800"}',
    "two halves the wrong way round": rb'{"id":"\udfff\ud800"}',
    "raw control characters": b'{"id":"\x01\x1f\t"}',
    "a raw NUL": b'{"id":"\x00"}',
    "invalid UTF-8": b'{"id":"\xff\xfe"}',
    "UTF-8 that is cut off": b'{"id":"\xe2\x82"}',
    "latin-1": b'{"id":2,"name":"Fran\xe7ois"}',
    "NaN": b'{"id":NaN}',
    "infinity": b'{"id":-Infinity}',
    "an overflow": b'{"id":1e999}',
    "a million digits": b'{"id":' + b"1" * 1_000_000 + b"}",
    "leading zeros": b'{"id":007}',
    "undefined": b'{"id":undefined}',
    "nothing": b'{"id":}',
    "single quotes": b"{'id':2,'name':'a, b'}",
    "no quotes": b"{id:2,name:abc}",
    "words of Python": b"{'id':None,'ok':True}",
    "a comma too many": b'{"id":2,}',
    "a colon missing": b'{"id" 2}',
    "a comment": b'{"id":2 /* the second */}',
    "a bare word": b"garbage",
    "two documents": b'{"id":2} {"id":3}',
    "brackets that do not match": b'{"id":[2}}',
    "brackets in a text": b'{"id":NaN,"text":"]}],[{"}',
    "a text of several megabytes": b'{"id":NaN,"text":"' + b"x" * 5_000_000 + b'"}',
    "deep arrays": b'{"id":2,"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"id":2,"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "a deep odd value": b'{"id":2,"x":' + b"[" * DEEP + b"NaN" + b"]" * DEEP + b"}",
    "depth alone": b"[" * DEEP + b"]" * DEEP,
    "null": b"null",
    "a number": b"7",
    "a text": b'"text"',
    "an array": b"[]",
    "a text with a bad escape": rb'"\q"',
}
odd = pytest.mark.parametrize("record", ODD.values(), ids=ODD.keys())


def lines_of(page: Records) -> list[bytes]:
    lines = page.data.split(b"\n") if page.rows else []
    assert len(lines) == page.rows
    return lines


@odd
def test_its_neighbours_come_out(record: bytes) -> None:
    page = split_page(b'[{"id":1}, ' + record + b' ,{"id":3}]')
    assert lines_of(page) == [b'{"id":1}', record, b'{"id":3}']


@odd
@pytest.mark.parametrize("place", [0, 1, 2])
def test_wherever_it_stands_on_a_pretty_printed_page_at_a_path(record: bytes, place: int) -> None:
    rows = [b'{"id":1}', rb'{"id":"\ud800"}']
    rows.insert(place, record)
    body = b'{\n "n": NaN, "data": {"items": [\n  ' + b",\n  ".join(rows) + b'\n ]},\n "x": "\\q"}\n'
    assert lines_of(split_page(body, ("data", "items"))) == rows


@pytest.mark.parametrize("record", [record for record in ODD.values() if record != b"garbage"])
def test_alone_on_its_page_it_is_a_record_too(record: bytes) -> None:
    assert lines_of(split_page(b"[" + record + b"]")) == [record]


@odd
def test_as_an_item_it_is_the_item(record: bytes) -> None:
    if record in (b"garbage", b'{"id":2} {"id":3}'):
        with pytest.raises(BadBodyError, match="not JSON"):
            split_item(record)
    else:
        assert split_item(b" " + record + b"\r\n") == Records(record, 1, empty=record == b"null")


def test_one_bad_escape_in_a_hundred_records_of_a_hand_made_encoder() -> None:
    rows = [b'{"id": %d, "name": "n%d"}' % (n, n) for n in range(1, 101)]
    rows[49] = rb"""{"id": 50, "name": "n\'50"}"""
    assert lines_of(split_page(b"[" + b",\n".join(rows) + b"]")) == rows


def test_a_newline_in_a_text_does_not_break_the_line() -> None:
    page = split_page(b'[{"id":"a\nb\r",\n"x":NaN}, {"id":"\\\n"}]')
    assert lines_of(page) == [b'{"id":"a\\nb\\r","x":NaN}', b'{"id":"\\\\n"}']


def test_a_comma_behind_the_last_record_is_not_a_record() -> None:
    assert lines_of(split_page(b'[{"id":1}, {"id":2},\n]')) == [b'{"id":1}', b'{"id":2}']


def test_a_place_without_a_record_is_an_odd_one() -> None:
    assert lines_of(split_page(b'[{"id":1}, , {"id":2}]')) == [b'{"id":1}', b"", b'{"id":2}']


def test_no_more_than_asked_for_are_taken_from_an_odd_page() -> None:
    assert lines_of(split_page(b'[{"id":1}, {"id":NaN}, {"id":3}]', most=2)) == [b'{"id":1}', b'{"id":NaN}']
    with pytest.raises(BadBodyError, match="not closed"):
        split_page(b'[{"id":1}, {"id":NaN}, {"id":3', most=2)


def test_more_records_than_a_page_may_have_are_refused_on_an_odd_page_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records, "MAX_RECORDS", 5)
    assert split_page(b"[1, 2, 3, NaN, ]").rows == 4
    for body in (b"[1, 2, 3, 4, NaN, 6]", b"[1, 2, 3, 4, NaN, 6, 7, 8, 9]"):
        with pytest.raises(BadBodyError, match="more than 5 records") as caught:
            split_page(body)
        assert not caught.value.retryable


WITHOUT_STRUCTURE = [
    (b"[", "the value at byte 1 is not closed before the end, at byte 1"),
    (b'[{"id":1},{"id', "the value at byte 10 is not closed before the end, at byte 14"),
    (b'[{"id":1}, {"id":2}', "the value at byte 11 is not closed before the end, at byte 19"),
    (b'[{"id":NaN}', "the value at byte 1 is not closed"),
    (b'[{"id":[1}, {"id":2}]', "the value at byte 1 is not closed"),
    (b'[{"name":"a "quoted" word" inside"}, {"id":2}]', "the value at byte 1 is not closed"),
    (b"[1]]", "something follows its end, at byte 3: ]"),
    (b"[1] [2]", "something follows its end, at byte 4: [2]"),
    (b'[{"id":NaN}]\n<b>Warning</b>', "something follows its end, at byte 13: <b>Warning</b>"),
    (b"[Error: no connection]", "the answer is a text that begins: [Error: no connection]"),
    (b"<!DOCTYPE html><title>Be right\n back</title>", "the answer is a web page: Be right back"),
    (b"  <html><body>502</body></html>", "the answer is a web page: <html><body>502"),
    (b"<?xml version='1.0'?><rows/>", "the answer is XML: <?xml version='1.0'?><rows/>"),
    (b"Too many \x1b[31mrequests\x07", "the answer is a text that begins: Too many [31mrequests"),
    (b"\xff\xfe[\x001\x00]\x00", "the answer is a text that begins"),
    (b")]}',\n[1]", "the answer is a text that begins: )]}', [1]"),
]


@pytest.mark.parametrize(("body", "words"), WITHOUT_STRUCTURE, ids=[words for _, words in WITHOUT_STRUCTURE])
def test_a_page_without_structure_is_a_failed_try_that_names_the_place(body: bytes, words: str) -> None:
    with pytest.raises(BadBodyError) as caught:
        split_page(body)
    assert str(caught.value).startswith(f"not JSON: {words}")
    assert caught.value.retryable


@pytest.mark.parametrize("body", [b'{"data":[{"id":1}', b'{"data":[NaN]', b'{"data":[NaN]}}', b'{"a":"'])
def test_a_page_that_breaks_off_outside_its_array_is_a_failed_try(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="not JSON"):
        split_page(body, ("data",))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('",[]{}\\:a', max_size=4), inner),
    max_leaves=10,
)
RECORDS = st.dictionaries(st.sampled_from(["id", "a,b", 'q"', "\\"]), VALUES, max_size=3).map(
    lambda record: json.dumps(record).encode()
)
SHORT_ODD = st.sampled_from([record for record in ODD.values() if len(record) < 100])
BLANK = st.text(" \t\r\n", max_size=2).map(str.encode)


def joined(rows: list[bytes], blanks: list[bytes]) -> bytes:
    spread = [blanks[n % len(blanks)] + row + blanks[-n % len(blanks)] for n, row in enumerate(rows)]
    return b"[" + b",".join(spread) + b"]"


@given(st.lists(RECORDS | SHORT_ODD, max_size=8), st.lists(BLANK, min_size=1, max_size=3), st.booleans())
def test_all_records_come_out_byte_for_byte_in_order(
    rows: list[bytes], blanks: list[bytes], is_wrapped: bool
) -> None:
    body = joined([*rows, b'{"id":1}'], blanks)
    if is_wrapped:
        body = b'{"data":"[{", "d\\u0061ta":' + body + b"}"
    assert lines_of(split_page(body, ("data",) if is_wrapped else ())) == [*rows, b'{"id":1}']


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 1]))
def test_the_quick_and_the_careful_way_agree(rows: list[Any], indent: int | None) -> None:
    quick = lines_of(split_page(json.dumps(rows, indent=indent).encode()))
    careful = lines_of(split_page(json.dumps([*rows, float("nan")], indent=indent).encode()))
    assert careful == [*quick, b"NaN"]


@given(st.binary(max_size=40) | st.text('",[]{}\\:a1 ', max_size=40).map(str.encode))
def test_whatever_comes_is_records_or_a_failed_try(body: bytes) -> None:
    for path in ((), ("a",)):
        with suppress(BadBodyError):
            page = split_page(body, path)
            assert len(lines_of(page)) == page.rows


N = 2_000_000
HOSTILE = {
    "brackets that open": b"[" * N,
    "objects that open": b'[{"a":' * (N // 6),
    "texts that open": b"[" + b'{"' * (N // 2),
    "escaped quotes": b'["' + b'\\"' * (N // 2),
    "backslashes": b'["' + b"\\" * N,
    "a quote in every other record": b"[" + b'[{},"\'",' * (N // 9),
    "objects that do not end": b"[" + b'{"a":[1},' * (N // 9) + b"{}]",
    "blanks": b"[" + b" " * N,
    "newlines in a text": b'["' + b"\n" * N + b'"]',
    "keys on the path": b'{"data":' * (N // 8),
    "members": b"{" + b'"data":NaN,' * (N // 11) + b'"x":1}',
    "tags": b"<" * N,
    "titles": b"<html>" + b"<title>" * (N // 7),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("path", [(), ("data",)])
def test_hostile_bodies_cost_time_by_their_length_only(body: bytes, path: tuple[str, ...]) -> None:
    began_s = time.process_time()
    with suppress(BadBodyError):
        split_page(body, path)
    assert time.process_time() - began_s < 20, "two megabytes; the square of that would take hours"
