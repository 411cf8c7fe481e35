"""A first dataset file is made of what a source answers, and it is a good one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from console.cli.datasets_init import file_of, snake, type_of
from shared.datasets.catalog import DatasetFile, read_file

URL = "https://api.example.org/v1/sales-orders?state=open&q={x}"
RECORDS = [
    {"id": 1, "Customer Name": "ann", "total": 1.5, "createdAt": "2026-01-01T10:00:00Z", "tags": ["a"]},
    {"id": 2, "Customer Name": None, "total": 2, "createdAt": "2026-01-02T10:00:00Z", "due": "2026-02-01"},
]


@pytest.mark.parametrize(
    ("headers", "body", "records", "pagination"),
    [
        ({}, RECORDS, None, None),
        ({"link": ('<https://api.example.org/x?page=2>; rel="next"',)}, RECORDS, None, {"kind": "link"}),
        (
            {},
            {"data": {"orders": RECORDS}, "meta": {"next_cursor": "c2"}},
            {"path": "data.orders"},
            {"kind": "cursor", "next": {"path": "meta.next_cursor"}},
        ),
        (
            {},
            {"value": RECORDS, "@odata.nextLink": "https://api.example.org/x?skip=2"},
            {"path": "value"},
            {"kind": "link", "next": {"path": "@odata\\.nextLink"}},
        ),
        ({}, RECORDS[0], {"shape": "object"}, None),
    ],
)
def test_the_file_says_where_records_and_next_pages_are_and_can_be_used(
    tmp_path: Path, headers: Any, body: Any, records: Any, pagination: Any
) -> None:
    document = file_of(URL, headers, body)
    assert document["name"] == "sales_orders"
    assert document["source"].get("records") == records
    assert document["source"].get("pagination") == pagination
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    found = read_file(path, {})
    assert isinstance(found, DatasetFile), found
    assert found.dataset.key == ("id",)


def test_columns_have_the_types_of_their_values() -> None:
    columns = {column["name"]: column for column in file_of(URL, {}, RECORDS)["columns"]}
    assert {name: column["type"] for name, column in columns.items()} == {
        "id": "int64",
        "customer_name": "string",
        "total": "float64",
        "created_at": "timestamp",
        "tags": "json",
        "due": "date",
    }
    assert columns["customer_name"]["from"] == '"Customer Name"'


def test_records_without_an_id_have_their_hash_as_key() -> None:
    document = file_of(URL, {}, [{"a": 1}, {"a": 1}])
    assert (document["key"], document["columns"][0]["from"]) == (["row_hash"], "$hash")


@pytest.mark.parametrize(
    ("text", "name"), [("Full Name", "full_name"), ("2fa", "n_2fa"), ("orderID", "order_id")]
)
def test_names_are_small_letters_digits_and_underscores(text: str, name: str) -> None:
    assert snake(text) == name


def test_values_that_differ_are_json() -> None:
    assert type_of([1, "a"]) == "json"
    assert type_of([None]) == "string"
