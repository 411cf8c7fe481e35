"""Values that a transform makes are held against their column's type, also where Arrow's type allows more."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from console.verify import values as checker
from services.processor.domain.readers import json_text
from shared.events.models import Counts
from shared.transforms.sandbox import Sandbox
from tests.support.crawled import a_dataset
from tests.unit.processor.test_transform import failure, process

UUID = "0b0e0000-0000-4000-8000-0000000000ff"

WRONG: list[tuple[str, str, str, str]] = [
    ("time", "'8:30'", "type", "x is not a time such as 08:30:00.000000"),
    ("time", "'24:00:00.000000'", "type", "x is not a time"),
    ("uuid", f"'{UUID.upper()}'", "type", "x is not a UUID of 36 small characters"),
    ("uuid", "'no uuid'", "type", "x is not a UUID"),
    ("enum(new, paid)", "'sold'", "range", "x is not one of new, paid"),
    ("json", '\'{"b":1, "a":2}\'', "type", "x is not JSON with its keys sorted"),
    ("json", "'{'", "type", "x is not JSON"),
    ("json", "'\"\\u0000\"'", "type", "x is not JSON"),
    ("list<uuid>", f"['{UUID}', NULL, 'no uuid']", "type", "x is not a UUID"),
    ("list<enum(new, paid)>", "['new', 'sold']", "range", "x is not one of new, paid"),
    ("list<string>", "['a' || chr(0)]", "nul", "x is not a text without a NUL"),
    ("list<list<float64>>", "[[1.5], ['nan'::DOUBLE]]", "range", "x is not a number with an end"),
    ("struct<at: time>", "{'at': 'noon'}", "type", "x is not a time"),
    ("list<struct<on: date>>", "[{'on': DATE '10000-01-01'}]", "range", "x is not in the years 1 to 9999"),
]
"""A type, what a statement makes of it for one row, the reason, and the beginning of the sentence."""

RIGHT: list[tuple[str, str, Any]] = [
    ("time", "'08:30:00.250000'", "08:30:00.250000"),
    ("uuid", f"'{UUID}'", UUID),
    ("enum(new, paid)", "'paid'", "paid"),
    ("json", "'{\"a\":[1.5,null]}'", '{"a":[1.5,null]}'),
    ("list<uuid>", f"['{UUID}', NULL]", [UUID, None]),
    ("struct<at: time>", "{'at': NULL}", {"at": None}),
    ("list<string>", "[]", []),
    ("decimal(18,4)", "1.5::DECIMAL(5,1)", Decimal("1.5000")),
    ("int8", "127", 127),
    ("float32", "0.5::DOUBLE", 0.5),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def made(kind: str, value: str) -> Any:
    """A dataset whose `x` is `value` in the second of three rows, and null in the others."""
    columns: list[dict[str, Any]] = [
        {"name": "id", "type": "int64"},
        {"name": "x", "type": kind, "computed": True},
    ]
    step = {"sql": f"SELECT *, CASE WHEN id = 2 THEN {value} END AS x FROM batch"}
    return a_dataset(columns, ["id"], transform=[step])


LINES = [json.dumps({"id": number}).encode() for number in (1, 2, 3)]


@pytest.mark.parametrize(("kind", "value", "reason", "sentence"), WRONG)
async def test_a_row_with_a_value_of_another_type_is_refused_with_its_raw_line_and_the_others_stay(
    sandbox: Sandbox, kind: str, value: str, reason: str, sentence: str
) -> None:
    result, rows, [refused] = await process(made(kind, value), LINES, sandbox)
    assert [row["id"] for row in rows] == [1, 3]
    assert (refused["reason"], refused["raw"]) == (reason, LINES[1].decode())
    assert refused["detail"].startswith(sentence)
    assert refused["detail"].endswith("after the transform")
    assert result.counts == Counts(read=3, accepted=2, rejected=1)


@pytest.mark.parametrize(("kind", "value", "stored"), RIGHT)
async def test_a_value_of_the_type_is_stored_as_it_is(
    sandbox: Sandbox, kind: str, value: str, stored: Any
) -> None:
    _, rows, refused = await process(made(kind, value), LINES, sandbox)
    assert refused == []
    assert [row["x"] for row in rows] == [None, stored, None]


@pytest.mark.parametrize(
    ("kind", "value"), [("float32", "0.1::DOUBLE"), ("int8", "128"), ("decimal(5,1)", "1.25::DECIMAL(5,2)")]
)
async def test_a_number_that_the_type_cannot_hold_costs_the_batch_and_the_column_is_named(
    sandbox: Sandbox, kind: str, value: str
) -> None:
    assert "column x" in await failure(made(kind, value), sandbox, LINES)


@pytest.mark.parametrize(
    ("text", "is_stored_so"),
    [
        ('{"a":1,"b":[1.5,null,"é"]}', True),
        ("0.1", True),
        ("123456789012345678901234567890", True),
        ('{"b":1,"a":2}', False),
        ('{"a": 1}', False),
        ("1.50", False),
        ("1e2", False),
        ('"\\u0000"', False),
        ('{"a\\u0000":1}', False),
        (r'"\\u0000"', True),  # a backslash, and no NUL
        ('"\\ud800"', False),
        ("{", False),
        ("", False),
        ("NaN", False),
    ],
)
def test_the_processor_and_the_checker_agree_on_what_json_is_stored_as(text: str, is_stored_so: bool) -> None:
    assert (json_text.is_canonical(text), checker.is_canonical(text)) == (is_stored_so, is_stored_so)
