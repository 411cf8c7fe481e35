"""A key as a user writes it."""

import pyarrow as pa
import pytest

from console.client.errors import InvalidRequestError
from console.client.trace.key import Place, parse_key, parse_place
from shared.datasets.model import Dataset


def dataset(**columns: str) -> Dataset:
    """Of which every column is in the key."""
    return Dataset.model_validate(
        {
            "name": "orders",
            "source": {
                "name": "shop",
                "kind": "api",
                "base_url": "https://shop.example",
                "path": "/orders",
                "pagination": {"kind": "page", "page_param": "p", "size_param": "s", "size": 10},
            },
            "table": "onpoint_orders",
            "key": list(columns),
            "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
        }
    )


ONE, TEXT, TWO = dataset(id="int64"), dataset(name="string"), dataset(id="int64", region="string")


def test_the_value_alone_is_a_key_of_one_column() -> None:
    key = parse_key(ONE, "5")
    assert (key.texts, key.values) == ({"id": "5"}, {"id": pa.scalar(5)})


def test_columns_may_be_named_in_any_order() -> None:
    assert parse_key(TWO, "region=eu,id=5").texts == {"id": "5", "region": "eu"}
    assert parse_key(ONE, "id=5").texts == {"id": "5"}


@pytest.mark.parametrize("text", ["a,b", "a=b", "x,name=y", "", " 5 ", "имя"])
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert parse_key(TEXT, text).texts == {"name": text}


def test_a_value_may_hold_commas_and_equals_signs() -> None:
    assert parse_key(TWO, "id=5,region=eu, north=1,2").texts == {"id": "5", "region": "eu, north=1,2"}


@pytest.mark.parametrize("text", ["5", "id=5", "5,eu", "region=eu"])
def test_a_key_that_lacks_a_column_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"id and region: write id=…,region=…"):
        parse_key(TWO, text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int64", "5x"),
        ("int8", "1000"),
        ("int64", ""),
        ("timestamp", "yesterday"),
        ("boolean", "maybe"),
        ("decimal(5,2)", "x"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is of type"):
        parse_key(dataset(id=kind), text)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("uuid", "3F2504E0-4F89-11D3-9A0C-0305E82C3301", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        ("boolean", "true", True),
        ("date", "2026-11-29", None),
        ("timestamp", "2026-11-29T12:00:00Z", None),
        ("decimal(5,2)", "1.50", None),
    ],
)
def test_values_of_every_type_are_read(kind: str, text: str, expected: object) -> None:
    found = parse_key(dataset(id=kind), text).values["id"]
    assert found.is_valid
    assert expected is None or found.as_py() == expected


def test_a_place_is_a_run_and_a_number() -> None:
    assert parse_place("2026-11-29:41") == Place("2026-11-29", 41)


@pytest.mark.parametrize("text", ["41", "run:", "run:-1", "run:x", "../x:1", "run:1:2", f"run:{'9' * 30}"])
def test_any_other_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="write RUN:POSITION"):
        parse_place(text)
