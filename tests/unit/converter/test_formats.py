import csv
import io
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.converter.formats.csv import encode_csv
from services.converter.formats.parquet import choose_encodings
from services.converter.formats.text import frame_of
from shared.datasets.arrow import data_schema
from shared.datasets.exports import CsvOptions
from shared.parquet.columns import align
from tests.support.processed import a_dataset

PAIRS = a_dataset({"name": "string", "value": "float64"}, key=["name"])
SIGNS = tuple("=+-@＝＋－＠")  # noqa: RUF001 - full-width on purpose

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def table_of(rows: list[tuple[Any, Any]]) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([n for n, _ in rows], pa.string()),
            "value": pa.array([v for _, v in rows], pa.float64()),
        }
    )


def csv_of(table: pa.Table, *, header: bool = True) -> bytes:
    return encode_csv(frame_of(table), CsvOptions(), header=header)


def is_formula(text: str) -> bool:
    """As a spreadsheet sees it that trims what is blank in front."""
    blank = "".join(map(chr, range(0x20))) + "\u200b\ufeff"
    rest = text
    while rest and (rest[0].isspace() or rest[0] in blank):
        rest = rest[1:]
    return rest.startswith(SIGNS) or text.startswith(("\t", "\r", "\n"))


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, VALUES)))
def test_any_text_and_number_is_read_back_from_the_csv(rows: list[tuple[str, float | None]]) -> None:
    text = csv_of(table_of(rows)).decode()
    header, *found = csv.reader(io.StringIO(text, newline=""))
    assert header == ["name", "value"]
    expected = [("'" + name if is_formula(name) else name, value) for name, value in rows]
    assert [(name, float(value) if value else None) for name, value in found] == expected


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, VALUES), min_size=1), st.integers(0, 9))
def test_slices_make_the_same_csv_as_the_whole(rows: list[tuple[str, float | None]], cut: int) -> None:
    table = table_of(rows)
    slices = csv_of(table.slice(0, cut)) + csv_of(table.slice(cut), header=False)
    assert slices == csv_of(table)


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
