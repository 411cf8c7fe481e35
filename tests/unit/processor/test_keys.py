"""Every key of a record can be a column, in the column parser and in the row parser."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import ParseSchema, parse_schema_of
from shared.datasets.model import Dataset
from shared.datasets.paths import format_path
from tests.support.crawled import a_dataset

ODD = b'{"id": "not a number"}'
"""A line that sends its neighbours the slow way."""


def rows_of(parse_schema: ParseSchema, lines: list[bytes]) -> list[dict[str, Any]]:
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    found = parse_chunk(chunk, 0, parse_schema, Watch(parse_schema, "run-1", "0" * 32))
    rows = [row for parsed in found for row in parsed.rows.to_pylist()]
    for row in rows:
        del row["_source_position"]
    return rows


def parsed_by_both(dataset: Dataset, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the records; both parsers must give the same."""
    parse_schema = parse_schema_of(dataset)
    lines = [json.dumps(record, ensure_ascii=False).encode() for record in records]
    quick = rows_of(parse_schema, lines)
    assert rows_of(parse_schema, [*lines, ODD]) == quick
    return quick


def columns(**paths: str) -> Dataset:
    named = [{"name": name, "from": path, "type": "string"} for name, path in paths.items()]
    return a_dataset([{"name": "id", "type": "int64"}, *named], key=["id"])


def test_a_dot_in_a_key_and_an_object_of_the_same_name_are_two_things() -> None:
    records = [
        {"id": 1, "user.name": "ann", "@odata.etag": "W/1", "user": {"mail": "a@x"}},
        {"id": 2, "user.name": "bob", "@odata.etag": "W/2", "user": {"mail": "b@x"}},
    ]
    dataset = columns(user_name=r"user\.name", user_mail="user.mail", etag='"@odata.etag"')
    assert parsed_by_both(dataset, records) == [
        {"id": 1, "user_name": "ann", "user_mail": "a@x", "etag": "W/1"},
        {"id": 2, "user_name": "bob", "user_mail": "b@x", "etag": "W/2"},
    ]


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("Full Name", {"Full Name": "x"}),
        ('" padded "', {" padded ": "x"}),
        ("Full Name.First Name", {"Full Name": {"First Name": "x"}}),
        ('"a.b"."c.d"', {"a.b": {"c.d": "x"}}),
        (r"a\.b.c\.d", {"a.b": {"c.d": "x"}}),
        ('"see \\"hi\\""', {'see "hi"': "x"}),
        (r"C:\\temp", {"C:\\temp": "x"}),
        ('""', {"": "x"}),
        ('"".""', {"": {"": "x"}}),
        ("größe.名前.🙂", {"größe": {"名前": {"🙂": "x"}}}),
        ("$ref", {"$ref": "x"}),
        ("[0]", {"[0]": "x"}),
        ("*", {"*": "x"}),
        ("#text", {"#text": "x"}),
        ("a/b", {"a/b": "x"}),
        ("'q'", {"'q'": "x"}),
        ("null", {"null": "x"}),
        ("x" * 256, {"x" * 256: "x"}),
        (
            ".".join("abcdefgh" * 4),
            json.loads("".join(f'{{"{key}":' for key in "abcdefgh" * 4) + '"x"' + "}" * 32),
        ),
    ],
)
def test_any_key_can_be_named(path: str, record: dict[str, Any]) -> None:
    assert parsed_by_both(columns(value=path), [{"id": 1, **record}, {"id": 2}]) == [
        {"id": 1, "value": "x"},
        {"id": 2, "value": None},
    ]


def test_a_key_that_the_record_writes_with_escapes_is_the_same_key() -> None:
    parse_schema = parse_schema_of(columns(value=r"a\.b"))
    lines = [rb'{"id": 1, "a\u002eb": "x"}']
    assert rows_of(parse_schema, lines) == rows_of(parse_schema, [*lines, ODD]) == [{"id": 1, "value": "x"}]


def test_keys_that_differ_in_a_dot_only_are_never_mixed_up() -> None:
    dataset = columns(one="a.b.c", two=r"a\.b.c", three=r"a.b\.c", four=r"a\.b\.c")
    record = {"id": 1, "a": {"b": {"c": "1"}, "b.c": "3"}, "a.b": {"c": "2"}, "a.b.c": "4"}
    assert parsed_by_both(dataset, [record]) == [{"id": 1, "one": "1", "two": "2", "three": "3", "four": "4"}]


def test_a_value_where_a_key_leads_on_is_refused_with_the_path_as_it_is_written() -> None:
    parse_schema = parse_schema_of(columns(value=r"a\.b.c"))
    chunk = Chunk(0, 1, b'{"id": 1, "a.b": 5}\n')
    [parsed] = parse_chunk(chunk, 0, parse_schema, Watch(parse_schema, "run-1", "0" * 32))
    [refused] = parsed.refused
    assert refused.detail == '"a.b": a number where an object is expected'


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8), min_size=1, max_size=4))
def test_random_keys_are_found(keys: list[str]) -> None:
    record: Any = "x"
    for key in reversed(keys):
        record = {key: record}
    if keys[0] == "id":
        return
    [row] = parsed_by_both(columns(value=format_path(tuple(keys))), [{"id": 1, **record}])
    assert row["value"] == "x"
