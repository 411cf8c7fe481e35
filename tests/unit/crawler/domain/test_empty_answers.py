"""Empty in any form is the end of a source; an answer that reports an error, or is something else, is a failure."""

import json
from dataclasses import replace
from typing import Any

import pytest

from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.records import Records, read_ids, split_item, split_page

NOTHING = Records(b"", 0)


def without_words(page: Records) -> Records:
    """Whatever it has instead of an array."""
    return replace(page, lacking="")


EMPTY_AT_ONCE = [b"", b" \r\n\t", b"\xef\xbb\xbf", b"null", b" null\n", b"{}", b"{ }", b"[]", b"[\n]", b'""']
EMPTY_AT_A_PATH = [
    b'{"pagination": {"resultsPerPage": 0}}',
    b'{"data": null}',
    b'{"data": {}}',
    b'{"data": []}',
    b'{"data": ""}',
    b'{"data": {"items": null}}',
    b'{"data": {"items": {}}}',
    b'{"data": {"items": [ ]}}',
    b'{"data": {"items": ""}, "next": NaN}',
    b'{"data": {"items": [{"id": 1}]}, "data": {}}',
    b'{"data": {"items": [{"id": 1}], "items": []}}',
]
QUIET = [
    {"error": None},
    {"errors": []},
    {"error": False, "message": "no more records"},
    {"error": 0, "errorCode": "0", "error_message": ""},
    {"error": {"code": 0, "message": ""}},
    {"errorCode": "00000", "errorMessage": "OK"},
    {"error": "none", "status": "ok", "code": 200, "message": "OK"},
    {"success": True, "status": 200, "message": "nothing found"},
    {"status": "success", "title": "A list"},
    {"code": "SUCCESS", "message": "done"},
    {"terror": "a word", "errors_total": 3},
    {"message": "no more results"},
]


@pytest.mark.parametrize("body", EMPTY_AT_ONCE)
@pytest.mark.parametrize("path", [(), ("data",), ("data", "items")])
def test_an_empty_answer_is_a_page_of_no_records(body: bytes, path: tuple[str, ...]) -> None:
    assert without_words(split_page(body, path)) == NOTHING


@pytest.mark.parametrize("body", EMPTY_AT_A_PATH)
def test_a_path_that_leads_to_nothing_is_a_page_of_no_records(body: bytes) -> None:
    assert without_words(split_page(body, ("data", "items"))) == NOTHING


LACKING: list[tuple[bytes, tuple[str, ...], str]] = [
    (b"", (), "the answer is empty, no array"),
    (b"null", (), "the answer is null, no array"),
    (b"{}", (), "the answer is an empty object, no array"),
    (b'""', ("items",), "the answer is empty, no array"),
    (b"null", ("items",), "the answer is null, no array"),
    (b"{}", ("items",), "the answer has no items; it is empty"),
    (b'{"n": 1, "m": 2}', ("items",), "the answer has no items; its keys are n, m"),
    (b'{"tags": ["a"]}', ("items",), "the answer has no items; its keys are tags"),
    (b'{"data": null}', ("data", "items"), "data is null, no array"),
    (b'{"data": {"n": 0}}', ("data", "items"), "data has no items; its keys are n"),
    (b'{"data": {"items": null}}', ("data", "items"), "data.items is null, no array"),
    (b'{"data": {"items": {}}}', ("data", "items"), "data.items is an empty object, no array"),
    (b'{"data": {"items": ""}}', ("data", "items"), "data.items is empty, no array"),
]


@pytest.mark.parametrize(("body", "path", "words"), LACKING)
def test_what_a_page_without_an_array_has_instead_is_named(
    body: bytes, path: tuple[str, ...], words: str
) -> None:
    assert split_page(body, path).lacking == words


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", ()),
        (b"[]", ("items",)),
        (b'{"items": []}', ("items",)),
        (b'{"data": []}', ("data", "items")),
        (b'{"items": [ ], "tags": ["a"]}', ("items",)),
    ],
)
def test_an_empty_array_is_an_array(body: bytes, path: tuple[str, ...]) -> None:
    assert split_page(body, path) == NOTHING


@pytest.mark.parametrize("envelope", QUIET, ids=json.dumps)
@pytest.mark.parametrize("page", [{}, {"data": None}, {"data": []}])
def test_an_envelope_that_reports_success_is_not_an_error(
    envelope: dict[str, Any], page: dict[str, Any]
) -> None:
    assert without_words(split_page(json.dumps({**envelope, **page}).encode(), ("data",))) == NOTHING


ERROR_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"error": "maintenance until 6"}, "maintenance until 6"),
    ({"Error": True, "Message": "no such user"}, "no such user"),
    ({"errors": [{"message": "rate limit"}]}, "rate limit"),
    ({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "not yours"}}, "not yours"),
    ({"error": {"root_cause": {"reason": "shard 7"}}}, "shard 7"),
    ({"error": "invalid_grant", "error_description": "expired"}, "expired"),
    ({"odata.error": {"message": {"value": "no such table"}}}, "no such table"),
    ({"fault": {"faultstring": "spike arrest"}}, "spike arrest"),
    ({"exception": "java.lang.NullPointerException"}, "java.lang.NullPointerException"),
    ({"errorCode": 17}, "17"),
    ({"errorCode": "E-17", "errorMessage": "stale\n\tview\x1b[2J"}, "stale view [2J"),
    ({"err_msg": "x" * 1000}, "x" * 120 + "..."),
    ({"code": 40029, "message": "invalid code"}, "invalid code"),
    ({"code": "rest_no_route", "message": "no route"}, "no route"),
    ({"status": 500, "detail": "the database is away"}, "the database is away"),
    ({"status": "429", "title": "slow down", "type": "about:blank"}, "slow down"),
    ({"statusCode": 401, "message": ["log in first"]}, "log in first"),
    ({"success": False, "message": "no licence"}, "no licence"),
    ({"success": "false"}, "no success"),
    ({"ok": False, "description": "Unauthorized"}, "Unauthorized"),
    ({"status": "ERROR", "msg": "try later"}, "try later"),
    ({"status": "fail", "reason": "a bad filter"}, "a bad filter"),
    ({"result": "failed"}, "failed"),
]
with_error_messages = pytest.mark.parametrize(
    ("error", "words"), ERROR_MESSAGES, ids=[words[:20] for _, words in ERROR_MESSAGES]
)


@with_error_messages
@pytest.mark.parametrize("page", [{}, {"data": None}, {"data": []}, {"data": {}}])
def test_an_answer_without_records_that_reports_an_error_is_a_failure(
    error: dict[str, Any], words: str, page: dict[str, Any]
) -> None:
    for body, path in (
        (error, ()),
        ({**error, **page}, ("data",)),
        ({"data": {**error, **page}}, ("data", "data")),
    ):
        with pytest.raises(BadBodyError) as caught:
            split_page(json.dumps(body).encode(), path)
        assert str(caught.value).startswith("the source answers with an error: ")
        assert words in str(caught.value)
        assert str(caught.value).isprintable()
        assert caught.value.retryable


@pytest.mark.parametrize("error", [error for error, _ in ERROR_MESSAGES])
def test_a_list_of_ids_that_reports_an_error_is_a_failure(error: dict[str, Any]) -> None:
    with pytest.raises(BadBodyError, match="answers with an error"):
        list(read_ids(json.dumps(error).encode()))


@pytest.mark.parametrize("error", [error for error, _ in ERROR_MESSAGES])
def test_an_error_message_beside_records_costs_no_record(error: dict[str, Any]) -> None:
    assert split_page(json.dumps({**error, "data": [{"id": 1}]}).encode(), ("data",)).rows == 1


@pytest.mark.parametrize(
    "message", ["API rate limit exceeded for 10.1.2.3", "Unauthorized", "Invalid API key"]
)
def test_a_message_that_sounds_like_an_error_is_one_where_the_records_are_missing(message: str) -> None:
    with pytest.raises(BadBodyError, match=f"answers with an error: {message}"):
        split_page(json.dumps({"message": message}).encode(), ("data",))
    assert split_page(json.dumps({"message": message, "data": []}).encode(), ("data",)) == NOTHING


OTHER_SHAPES: list[tuple[bytes, tuple[str, ...], str]] = [
    (
        b'{"data": [{"id": 1}], "next": null}',
        (),
        "an array of records is expected; the answer is an object with the keys data, next: write records_path: [data]",
    ),
    (
        b'{"n": {"m": 1}, "a": {"b": [1]}}',
        (),
        "an array of records is expected; the answer is an object with the keys n, a: write records_path: [a, b]",
    ),
    (b'{"id": 1}', (), "an array of records is expected; the answer is an object with the keys id"),
    (
        json.dumps(dict.fromkeys("abcdefghijkl", 1)).encode(),
        (),
        "an array of records is expected; the answer is an object with the keys a, b, c, d, e, f, g, h, i, j and more",
    ),
    (
        b'{"data": {"rows": [1], "n": 1}}',
        ("data",),
        "an array of records is expected; data is an object with the keys rows, n: write records_path: [data, rows]",
    ),
    (
        b'[{"data": []}]',
        ("data",),
        "an object with the key data is expected; the answer is an array: leave records_path out",
    ),
    (
        b'{"data": [{"items": []}]}',
        ("data", "items"),
        "an object with the key items is expected; data is an array",
    ),
    (b'{"data": "soon"}', ("data",), 'an array of records is expected; data is a text: "soon"'),
    (b'{"data": 7}', ("data", "items"), "an object with the key items is expected; data is a number: 7"),
    (b'{"data": false}', ("data",), "an array of records is expected; data is a boolean: false"),
    (b'"please log in"', (), 'an array of records is expected; the answer is a text: "please log in"'),
    (b"7", (), "an array of records is expected; the answer is a number: 7"),
    (b"true", ("data",), "an object with the key data is expected; the answer is a boolean: true"),
    (b'{"data": nothing}', ("data",), "not JSON: the answer is a text that begins: nothing"),
]


@pytest.mark.parametrize(("body", "path", "words"), OTHER_SHAPES, ids=[words for _, _, words in OTHER_SHAPES])
def test_an_answer_of_another_shape_is_a_failure_that_names_what_came(
    body: bytes, path: tuple[str, ...], words: str
) -> None:
    with pytest.raises(BadBodyError) as caught:
        split_page(body, path)
    assert str(caught.value) == words


@pytest.mark.parametrize("body", [b'{"data": [0], "data": [1]}', b'{"data": NaN, "data": [1], "x": NaN}'])
def test_of_a_key_that_is_there_twice_the_last_counts(body: bytes) -> None:
    assert split_page(body, ("data",)) == Records(b"1", 1)


@pytest.mark.parametrize("body", EMPTY_AT_ONCE)
def test_an_empty_answer_is_a_list_of_no_ids(body: bytes) -> None:
    assert list(read_ids(body)) == []


def test_an_object_where_ids_are_expected_is_named() -> None:
    with pytest.raises(
        BadBodyError, match="an array of ids is expected; the answer is an object with the keys ids"
    ):
        list(read_ids(b'{"ids": [1]}'))


@pytest.mark.parametrize("body", [b"", b" \r\n", b"null", b"\xef\xbb\xbf null\n"])
def test_an_item_without_a_body_is_an_empty_item(body: bytes) -> None:
    assert split_item(body) == Records(b"null", 1, empty=True)


@pytest.mark.parametrize(
    ("body", "path", "hint"),
    [
        (
            b'{"itms": [{"id": 1}]}',
            ("items",),
            "there is no items in the answer, and itms holds records: write records_path: [itms]",
        ),
        (b'{"data": {"rows": [{"id": 1}], "n": 1}}', ("data", "items"), "write records_path: [data, rows]"),
        (b'{"page": 1, "results": [ {"id": 1} ]}', ("resources",), "write records_path: [results]"),
        (
            b'{"result": {"rows": [{"id": 1}]}}',
            ("data", "items"),
            "there is no data in the answer, and result.rows holds records: write records_path: [result, rows]",
        ),
        (b'{"result": {"rows": [{"id": 1}]}}', ("rows",), "write records_path: [result, rows]"),
        (b'{"a": {"b": {"c": [{"id": 1}]}}}', ("items",), "write records_path: [a, b, c]"),
        (b'{"deep": {"rows": [{"id": 1}]}, "near": [{"id": 1}]}', ("items",), "write records_path: [near]"),
    ],
)
def test_a_first_answer_with_its_records_elsewhere_is_not_empty(
    body: bytes, path: tuple[str, ...], hint: str
) -> None:
    with pytest.raises(BadBodyError) as refusal:
        split_page(body, path, is_first=True)
    assert hint in str(refusal.value)
    assert not refusal.value.retryable


def test_a_later_answer_with_its_records_elsewhere_is_not_empty_either() -> None:
    with pytest.raises(BadBodyError) as refusal:
        split_page(b'{"entries": [{"id": 1}]}', ("items",))
    assert str(refusal.value) == "there is no items in the answer, and entries holds records"
    assert refusal.value.retryable, "the first answers had it"
    page = split_page(b'{"entries": [{"id": 1}]}', ("items",), is_strict=False)
    assert page == Records(b"", 0, lacking="the answer has no items; its keys are entries")


@pytest.mark.parametrize("body", [b'{"id": 1}\n{"id": 2}\n', b'{"id": 1}\r\n{"id": 2}'])
def test_json_lines_are_named(body: bytes) -> None:
    with pytest.raises(BadBodyError, match="one JSON value per line; a JSON array is expected"):
        split_page(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"links": [{"rel": "self"}]}',
        b'{"items2": []}',
        b'{"tags": ["a", "b"]}',
        b'{"page": {"rows": 0}}',
        b'{"warnings": [{"text": "old version"}], "count": 0}',
    ],
)
def test_a_first_answer_without_its_records_is_empty_whatever_else_it_tells(body: bytes) -> None:
    assert split_page(body, ("items",), is_first=True).rows == 0
