"""Column parser and row parser give what a plain reading of each line gives, whatever its neighbours are."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.processor.domain import column_parser
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import BLOCK_LINES, Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from tests.support.crawled import a_dataset
from tests.support.json_tokens import MOMENTS, NUMBERS, TEXTS, TOKENS
from tests.support.verdicts import Verdict, ignored_in, verdict_of

THINGS = a_dataset(
    [
        {"name": "id", "type": "int64"},
        {"name": "code", "type": "string"},
        {"name": "price", "type": "float64"},
        {"name": "sold", "type": "boolean"},
        {"name": "city", "from": "address.city", "type": "string"},
        {"name": "lat", "from": "address.geo.lat", "type": "float64"},
        {"name": "at", "type": "timestamp"},
        {"name": "day", "type": "date"},
        {"name": "note", "type": "string", "fill": "none"},
        {"name": "count", "type": "int64", "fill": 7},
        {"name": "since", "type": "timestamp", "fill": "2020-01-02T03:04:05Z"},
        {"name": "rounded", "type": "int64", "inexact": "round"},
        {"name": "exactly", "type": "float64", "inexact": "refuse"},
    ],
    key=["id", "code"],
)
LAYOUT = parse_schema_of(THINGS)


def parse(lines: list[bytes]) -> tuple[list[Verdict], int]:
    """A verdict per line, and the number of ignored values."""
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    verdicts: dict[int, Verdict] = {}
    ignored = 0
    for parsed in parse_chunk(chunk, 0, LAYOUT, Watch(LAYOUT, "run-1", "0" * 32)):
        rows = parsed.rows.to_pylist()
        assert parsed.rows.schema.equals(LAYOUT.schema)
        for row in rows:
            position = row.pop("_source_position")
            verdicts[position] = ("row", [_in_utc(value) for value in row.values()])
        for refused in parsed.refused:
            assert refused.raw == lines[refused.line]
            assert refused.detail
            verdicts[refused.line] = ("refused", refused.reason.value)
        ignored += parsed.ignored
    assert sorted(verdicts) == list(range(len(lines)))
    return [verdicts[number] for number in range(len(lines))], ignored


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def told_apart(verdicts: list[Verdict]) -> str:
    """`repr` tells -0.0 from 0.0 and 1 from 1.0 and True, which `==` does not."""
    return repr(verdicts)


def an_object(fields: dict[str, st.SearchStrategy[str]], *, clean: bool) -> st.SearchStrategy[str]:
    """Raw JSON text: fields of their own type, and, unless clean, of any; missing, twice, and unnamed ones."""
    own = st.fixed_dictionaries({}, optional=fields).map(lambda found: list(found.items()))
    if clean:
        return own.map(_join)
    extra = st.lists(
        st.tuples(st.sampled_from([*fields, "x", "y", "a.b", "id\\u0000", "\\ud800"]), TOKENS), max_size=3
    )
    return st.tuples(own, extra, st.randoms()).map(
        lambda parts: _join(_shuffled(parts[0] + parts[1], parts[2]))
    )


def _join(items: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{token}' for key, token in items) + "}"


def _shuffled(items: list[tuple[str, str]], random: Any) -> list[tuple[str, str]]:
    random.shuffle(items)
    return items


CODES = st.sampled_from("ab") | st.sampled_from(["x" * 2000, "x" * 2001, "é" * 1000, "é" * 1000 + "x"])
"""Part of the key: an index takes a bounded number of its bytes."""


def records(*, clean: bool) -> st.SearchStrategy[str]:
    number, text, moment = (
        (
            st.integers(0, 99).map(str),
            st.text(max_size=5).map(lambda t: json.dumps(t.replace("\0", ""))),
            MOMENTS,
        )
        if clean
        else (NUMBERS, TEXTS, MOMENTS)
    )
    geo = an_object({"lat": number}, clean=clean)
    address = an_object({"city": text, "geo": geo | st.just("[]")}, clean=clean)
    required = st.tuples(st.integers(0, 3), CODES)
    optional = an_object(
        {
            "price": number,
            "sold": st.sampled_from(["true", "false", "null"]),
            "address": address | st.just("[]"),
            "rounded": number,
            "exactly": number,
            "at": moment,
            "day": moment,
            "note": text,
            "count": number,
        },
        clean=clean,
    )
    return st.tuples(required, optional).map(
        lambda parts: (
            f'{{"id":{parts[0][0]},"code":"{parts[0][1]}"'
            + ("," + parts[1][1:] if len(parts[1]) > 2 else "}")
        )
    )


BROKEN = st.one_of(
    st.sampled_from(
        [
            b"",
            b" ",
            b"null",
            b" null ",
            b"[]",
            b"1",
            b'"text"',
            b"true",
            b"NaN",
            b"{",
            b"}",
            b"{}",
            b"{}{}",
            b'{"id":1,"code":"a"}{"id":2,"code":"b"}',
            b'{"id":3,"address":',
            b'{"city":"x"}}',
            b'{"id":1,"code":"a"},',
            b'[{"id":1,"code":"a"}',
            b'{"id":1,"code":"a"}]',
            b'\xef\xbb\xbf{"id":1,"code":"a"}',
            b'{"id":1,"code":"\xff"}',
            b'{"id":1,"code":"a","x":"\xed\xa0\x80"}',
            b'{"id":1,"code":"a\x00"}',
            b'{"id":1,"code":"a"}\x00',
            b'{"id":1,"code":"a"}\r',
            b' {"id":1,"code":"a"} ',
            b'{"id":1,"code":"a","x":NaN}',
            b'{"id":1,"code":"a","x":[1,-Infinity ]}',
            b'{"id":1,"code":"a",}',
            b"{'id':1,'code':'a'}",
            b'{"id":1,"code":"a"} // comment',
            b'{"id":null,"code":"a"}',
            b'{"id":1}',
            b'{"id":1,"code":"a","id":2}',
            b'{"id":1,"code":"a","x":1,"x":2}',
        ]
    ),
    st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")),
)
LINES = st.one_of(
    records(clean=True).map(lambda text: text.encode("utf-8", "surrogatepass")),
    records(clean=False).map(lambda text: text.encode("utf-8", "surrogatepass")),
    BROKEN,
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(LINES, min_size=1, max_size=12))
@example([b'{"id":1,"code":"a"}{"id":2,"code":"b"}', b'{"id":3,"code":"c","address":', b'{"city":"x"}}'])
@example([b"null"])
def test_any_lines_become_what_each_of_them_is_alone(lines: list[bytes]) -> None:
    expected = [verdict_of(line, THINGS) for line in lines]
    together, _ = parse(lines)
    assert told_apart(together) == told_apart(expected)
    alone = [parse([line])[0][0] for line in lines]
    assert told_apart(alone) == told_apart(expected)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(records(clean=True), min_size=1, max_size=12))
def test_clean_records_become_what_each_of_them_is_alone(texts: list[str]) -> None:
    lines = [text.encode("utf-8", "replace") for text in texts]
    assert told_apart(parse(lines)[0]) == told_apart([verdict_of(line, THINGS) for line in lines])


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of bytes of every call of the columnar parser."""
    calls: list[int] = []
    original = column_parser._parse  # noqa: SLF001 - the point of the tests is when it is not called

    def counted(data: bytes, tree: Any) -> Any:
        calls.append(len(data))
        return original(data, tree)

    monkeypatch.setattr(column_parser, "_parse", counted)
    return calls  # type: ignore[return-value]  # a generator is not needed


PATHS = a_dataset(
    [{"name": name, "type": kind} for name, kind in (("a", "string"), ("n", "int64"), ("b", "string"))],
    key=["b", "n", "a"],
)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("x" * 1000, "y" * 1000, "row"),
        ("", "€" * 666 + "yy", "row"),
        ("x" * 1000, "y" * 1001, "too_large"),
        ("x", "€" * 667, "too_large"),
        ("x" * 100_000, "", "too_large"),
    ],
)
def test_the_texts_of_a_key_fit_into_an_index_together(a: str, b: str, verdict: str) -> None:
    """Whatever the row's neighbours are: plain ones, or one that sends all of them to the row parser."""
    parse_schema = parse_schema_of(PATHS)
    line = json.dumps({"a": a, "n": 2**62, "b": b}, ensure_ascii=False).encode()
    for neighbour in (b'{"a":"a","n":1,"b":"b"}', b"null"):
        chunk = Chunk(0, 2, line + b"\n" + neighbour + b"\n")
        [parsed] = parse_chunk(chunk, 0, parse_schema, Watch(parse_schema, "run-1", "0" * 32))
        reasons = {refused.line: refused.reason.value for refused in parsed.refused}
        assert reasons.get(0, "row") == verdict


def test_rows_with_long_texts_in_different_parts_of_their_keys_are_accepted() -> None:
    parse_schema = parse_schema_of(PATHS)
    lines = [json.dumps({"a": "x" * a, "n": 1, "b": "y" * b}).encode() for a, b in ((1900, 1), (1, 1900))]
    chunk = Chunk(0, 2, b"".join(line + b"\n" for line in lines))
    [parsed] = parse_chunk(chunk, 0, parse_schema, Watch(parse_schema, "run-1", "0" * 32))
    assert (parsed.rows.num_rows, parsed.refused) == (2, ())


def test_a_chunk_of_plain_records_is_parsed_once_whatever_fields_it_has(parses: list[int]) -> None:
    lines = [
        json.dumps({"id": n, "code": f"c{n}", "price": n / 4, "more": {"deep": [n]}, "tags": ["a"]}).encode()
        for n in range(2000)
    ]
    verdicts, ignored = parse(lines)
    assert len(parses) == 1
    assert {kind for kind, _ in verdicts} == {"row"}
    assert ignored == 4000


def test_a_bad_line_costs_only_its_block_the_quick_way(parses: list[int]) -> None:
    lines = [json.dumps({"id": n, "code": "c"}).encode() for n in range(4 * BLOCK_LINES)]
    lines[BLOCK_LINES + 3] = b"null"
    verdicts, _ = parse(lines)
    assert [number for number, (kind, _) in enumerate(verdicts) if kind == "refused"] == [BLOCK_LINES + 3]
    assert len(parses) == 3


def test_a_value_nested_deeper_than_python_parses_does_not_refuse_its_record() -> None:
    deep = b'{"id":1,"code":"a","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    row = json.dumps({"id": 2, "code": "b", "at": "0001-01-01T00:00:00Z"}).encode()
    for lines in ([deep, row], [deep, row, b"null"]):
        verdicts, _ = parse(lines)
        assert verdicts[0][0] == "row"
        assert verdicts[0][1][:2] == [1, "a"]
        assert verdicts[1][0] == "row"


def test_a_named_value_nested_too_deep_is_refused() -> None:
    deep = b'{"id":1,"code":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert parse([deep])[0] == [("refused", "decode")]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["x", "y", "z", "address"]), st.none() | st.integers(0, 9)),
        max_size=9,
    )
)
def test_values_without_a_column_are_counted(extras: list[dict[str, Any]]) -> None:
    lines = []
    for number, extra in enumerate(extras):
        if isinstance(extra.get("address"), int):
            extra["address"] = {"city": "c", "zip": extra["address"], "geo": {"alt": 1, "lat": 2}}
        lines.append(json.dumps({"id": number, "code": "c", **extra}).encode())
    if lines:
        assert parse(lines)[1] == sum(ignored_in(line, THINGS) for line in lines)


def test_a_field_that_changes_its_type_is_no_longer_counted_but_harms_no_row() -> None:
    lines = [json.dumps({"id": n, "code": "c", "x": 1 if n < 500 else "one"}).encode() for n in range(600)]
    verdicts, ignored = parse(lines)
    assert {kind for kind, _ in verdicts} == {"row"}
    assert ignored == 0


def test_objects_used_as_maps_cost_no_column_per_key() -> None:
    lines = [
        json.dumps({"id": n, "code": "c", **{f"key{n}_{m}": m for m in range(20)}}).encode()
        for n in range(2000)
    ]
    verdicts, ignored = parse(lines)
    assert {kind for kind, _ in verdicts} == {"row"}
    assert 0 < ignored <= 256
