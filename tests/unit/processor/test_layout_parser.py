"""Chunks of lines of one layout become what each of their lines is alone, and what the other parsers make of them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.processor.domain import parse
from services.processor.domain.layout_parser import read_layout
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from shared.datasets.model import Dataset
from tests.support.crawled import a_dataset
from tests.support.json_tokens import MOMENTS, NUMBERS, TEXTS, TOKENS
from tests.support.verdicts import Verdict, ignored_in, verdict_of

TYPES = {
    "id": "int64",
    "code": "string",
    "price": "float64",
    "sold": "boolean",
    "at": "timestamp",
    "day": "date",
    "note": "string",
    "count": "int64",
}
FILLS: dict[str, Any] = {"note": "none", "count": 7}


def flat(**more: Any) -> Dataset:
    columns = [
        {"name": name, "type": kind} | ({"fill": FILLS[name]} if name in FILLS else {})
        for name, kind in TYPES.items()
    ]
    return a_dataset(columns, key=["id", "code"], **more)


FLAT = flat()
STRICT = flat(schema={"new_columns": "reject"})
OWN = {"price": NUMBERS, "sold": st.sampled_from(["true", "false"]), "at": MOMENTS, "day": MOMENTS}
OWN |= {"note": TEXTS, "count": NUMBERS, "x": TOKENS, "y": TOKENS, "é": TEXTS, "a:b": NUMBERS}
PLAIN = {
    "price": st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers(-9, 10**12).map(str),
    "count": st.integers(-(2**63), 2**63 - 1).map(str),
    "note": st.text(st.characters(codec="utf-8", exclude_characters="\0")).map(json.dumps),
    "x": st.floats(0, 1).map(repr),
    "y": st.text(st.characters(codec="utf-8", exclude_characters="\0")).map(json.dumps),
    "at": st.datetimes().map(lambda moment: f'"{moment.isoformat()}"'),
}
JOINTS = (("{", ": ", ", ", "}"), ("{", ":", ",", "}"), ("{", ":", ", ", "}"), ("{ ", " : ", " ,", " }"))


@st.composite
def chunks(draw: st.DrawFn) -> list[bytes]:
    """Lines of one layout: of plain values alone, of awkward ones among them, or with bytes changed anywhere."""
    kinds = draw(st.sampled_from(["plain", "awkward", "changed"]))
    values = PLAIN if kinds != "awkward" else OWN | PLAIN if draw(st.booleans()) else OWN
    names = draw(
        st.permutations(["id", "code", *draw(st.lists(st.sampled_from(sorted(values)), unique=True))])
    )
    opening, colon, comma, closing = draw(st.sampled_from(JOINTS[:3] if kinds == "plain" else JOINTS))
    tokens = {name: values[name] | st.just("null") for name in names if name in values}
    tokens |= {"id": st.integers(0, 3).map(str), "code": st.sampled_from(['"a"', '"b"'])}
    count = draw(st.integers(1, 6))
    lines = [
        opening + comma.join(f'"{name}"{colon}{draw(tokens[name])}' for name in names) + closing
        for _ in range(count)
    ]
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if kinds == "changed":
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(data) - 1))
            part = draw(
                st.sampled_from(
                    [b"", b'"', b"\\", b",", b":", b" ", b"0", b".", b"-", b"e5", b'":', b"}", b"\xff"]
                )
            )
            data[place : place + draw(st.integers(0, 2))] = part
    return bytes(data).split(b"\n")


def parsed(lines: list[bytes], dataset: Dataset) -> tuple[list[Verdict], list[str], int]:
    """A verdict per line with the refusals' texts, and the number of ignored values."""
    schema = parse_schema_of(dataset)
    chunk = Chunk(0, len(lines), b"".join(line + b"\n" for line in lines))
    verdicts: dict[int, Verdict] = {}
    details: dict[int, str] = {}
    ignored = 0
    for found in parse_chunk(chunk, 0, schema, Watch(schema, "run-1", "0" * 32)):
        found.rows.validate(full=True)
        for row in found.rows.to_pylist():
            position = row.pop("_source_position")
            values = [v.astimezone(UTC) if isinstance(v, datetime) else v for v in row.values()]
            verdicts[position] = ("row", values)
        for refused in found.refused:
            verdicts[refused.line], details[refused.line] = ("refused", refused.reason.value), refused.detail
        ignored += found.ignored
    return [verdicts[n] for n in range(len(lines))], [details.get(n, "") for n in range(len(lines))], ignored


def layout(lines: list[bytes], dataset: Dataset = FLAT) -> Any:
    """What the parser gives of them by itself."""
    schema = parse_schema_of(dataset)
    data = b"".join(line + b"\n" for line in lines)
    return read_layout(data, len(lines), schema, Watch(schema, "run-1", "0" * 32).unnamed)


def told_apart(verdicts: Any) -> str:
    """`repr` tells -0.0 from 0.0 and 1 from 1.0 and True, which `==` does not."""
    return repr(verdicts)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(chunks())
@example([b'{"id":1,"code":"a","x":01}'])
@example([b'{"id":1,"code":"a","price":1.}'])
@example([b'{"id":1,"code":"a","note":"x", "count" : 1.5,"y":"z"}'])
@example([b'{"id":1,"code":"a","note":"\\"}', b'{"id":1,"code":"a","note":"x","y"}'])
@example([b'{"id":1,"code":"a","note":"\\","}', b'{"id":1,"code":"a","note":"\\",""}'])
@example([b'{"id":1,"code":"a","note":"\\ud800"}'])
def test_a_chunk_becomes_what_each_of_its_lines_is_alone(lines: list[bytes]) -> None:
    expected = [verdict_of(line, FLAT) for line in lines]
    found, _, ignored = parsed(lines, FLAT)
    assert told_apart(found) == told_apart(expected)
    if layout(lines) is not None:
        assert ignored == sum(ignored_in(line, FLAT) for line in lines)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(chunks(), st.sampled_from([FLAT, STRICT]))
def test_it_is_the_same_by_the_other_parsers(lines: list[bytes], dataset: Dataset) -> None:
    verdicts, details, _ = parsed(lines, dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "read_layout", lambda *_: None)
        others, other_details, _ = parsed(lines, dataset)
    assert told_apart(verdicts) == told_apart(others)
    assert details == other_details


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_plain_lines_of_one_layout_are_taken(data: st.DataObject) -> None:
    """With escapes in their texts, nulls, numbers of any length, and fields that no column is for."""
    lines = [
        json.dumps(
            {"id": n, "code": 'é\n"' * n, "price": n / 3, "x": None if n % 2 else n, "note": text}
        ).encode()
        for n, text in enumerate(
            data.draw(
                st.lists(
                    st.text(st.characters(codec="utf-8", exclude_characters='\0\\":'), max_size=9),
                    min_size=1,
                    max_size=9,
                )
            )
        )
    ]
    found = layout(lines)
    assert found is not None
    columns, ignored = found
    assert columns[0].to_pylist() == list(range(len(lines)))
    assert ignored == (len(lines) + 1) // 2


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":2,"code":"b","note":"y","count":2}',
        b'{"code":"b","id":2,"note":"y"}',
        b'{"id":2,"code":"b","note":"y" }',
        b'{"id": 2,"code":"b","note":"y"}',
        b'{"id":2,"code":"b"}',
        b'{"id":2,"code":"b","note":"y","note":"z"}',
        b'{"id":2,"code":"b","note":{"y":1}}',
        b'{"id":2,"code":"b","note":["y"]}',
        b'{"id":2,"code":"b","note":7}',
        b'{"id":2.5,"code":"b","note":"y"}',
        b'{"id":02,"code":"b","note":"y"}',
        b'{"id":2,"code":"b","note":"y\\"}',
        b'{"id":2,"code":"b","note":"\ty"}',
        b'{"id":2,"code":"b","note":"\\u0000"}',
        b'{"id":2,"code":"b","note":"\xff"}',
        b'{"id":null,"code":"b","note":"y"}',
        b'{"id":2,"code":"b",,"note":"y"}',
        b'{"id":2,"code":"b","note":"y",}',
    ],
)
def test_a_line_unlike_the_first_one_or_not_plain_leaves_the_chunk_to_the_others(line: bytes) -> None:
    first = b'{"id":1,"code":"a","note":"x"}'
    assert layout([first, first]) is not None
    assert layout([first, line]) is None


def test_a_field_that_no_column_is_for_leaves_the_chunk_where_it_is_to_be_refused() -> None:
    assert layout([b'{"id":1,"code":"a","x":null}'], STRICT) is not None
    assert layout([b'{"id":1,"code":"a","x":1}'], STRICT) is None
    assert layout([b'{"id":1,"code":"a","x":1}'], FLAT) is not None
