import csv
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.converter.formats.csv import encode_csv
from services.converter.formats.parquet import choose_encodings
from shared.datasets.arrow import arrow_type, data_schema
from shared.datasets.types import FLOATS
from shared.parquet.columns import align
from tests.support.every_type import TYPES, as_json
from tests.support.every_type import values as values_of
from tests.support.processed import a_dataset

PAIRS = a_dataset({"name": "string", "value": "float64"}, key=["name"])
FORMULAS = tuple("=+-@\t\r＝＋－＠")  # noqa: RUF001 - full-width on purpose

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def table_of(rows: list[tuple[Any, Any]]) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([n for n, _ in rows], pa.string()),
            "value": pa.array([v for _, v in rows], pa.float64()),
        }
    )


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, VALUES)))
def test_any_text_and_number_is_read_back_from_the_csv(rows: list[tuple[str, float | None]]) -> None:
    text = encode_csv(table_of(rows), PAIRS, header=True).decode()
    header, *found = csv.reader(io.StringIO(text, newline=""))
    assert header == ["name", "value"]
    expected = [("'" + name if name.startswith(FORMULAS) else name, value) for name, value in rows]
    assert [(name, float(value) if value else None) for name, value in found] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, VALUES), min_size=1), st.integers(0, 9))
def test_slices_make_the_same_csv_as_the_whole(rows: list[tuple[str, float | None]], cut: int) -> None:
    table = table_of(rows)
    slices = encode_csv(table.slice(0, cut), PAIRS, header=True) + encode_csv(
        table.slice(cut), PAIRS, header=False
    )
    assert slices == encode_csv(table, PAIRS, header=True)


def test_an_export_has_the_dataset_s_columns_in_its_order_and_no_lineage() -> None:
    rows = pa.table({"_run_id": ["r"], "value": [1.5], "name": ["n"]})
    table = align(rows, data_schema(PAIRS))
    assert table.column_names == ["name", "value"]
    assert table.to_pylist() == [{"name": "n", "value": 1.5}]


def test_repetitive_columns_get_a_dictionary_and_the_others_what_suits_them() -> None:
    count = 1000
    rows = pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "kind": pa.array(["a", "b"] * (count // 2)),
            "text": pa.array([f"text {n}" for n in range(count)]),
            "flag": pa.array([True, False] * (count // 2)),
            "price": pa.array([n / 7 for n in range(count)]),
        }
    )
    assert choose_encodings(rows) == (
        ["kind"],
        {"id": "DELTA_BINARY_PACKED", "text": "DELTA_LENGTH_BYTE_ARRAY"},
    )


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_value_of_any_type_is_in_the_csv_as_the_type_writes_it(data: st.DataObject) -> None:
    kind = data.draw(TYPES)
    values = [value for _, value in data.draw(st.lists(values_of(kind), max_size=4))]
    dataset = a_dataset({"id": "int64", "x": str(kind)}, key=["id"])
    table = pa.table(
        [pa.array(range(len(values)), pa.int64()), pa.array(values, arrow_type(kind))],
        schema=data_schema(dataset),
    )
    _, *rows = csv.reader(io.StringIO(encode_csv(table, dataset, header=True).decode(), newline=""))
    for (_, text), value in zip(rows, values, strict=True):
        if kind.name in {"string", "enum"}:
            assert text.removeprefix("'") == (value or "").removeprefix("'")
        elif value is None:
            assert text == ""
        elif kind.name in {"list", "struct", "json", "duration"}:
            assert json.loads(text, parse_int=Decimal, parse_float=Decimal) == as_json(kind, value)
        elif kind.name in FLOATS:
            assert float(text) == value
        elif kind.name == "decimal":
            assert Decimal(text) == value
