"""Exports of every type as Parquet: the same values, in types that Spark and Athena know."""

import csv as python_csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from console.verify.values import read
from services.converter.formats import csv, parquet
from services.converter.formats.base import Layout, clean_rows
from services.converter.formats.text import frame_of
from shared.datasets.arrow import arrow_type, data_schema, export_schema
from shared.datasets.column import Column
from shared.datasets.types import FLOATS, KINDS, WHOLE_BITS, Type
from shared.datasets.types import NESTED as NESTED_NAMES
from tests.support.crawled import a_dataset as a_dataset_of
from tests.support.every_type import ENUM, PLAIN, TYPES, values
from tests.support.processed import a_dataset

SCALARS = (
    *(Type(KINDS[name]) for name in PLAIN),
    Type(KINDS["decimal"], 38, 10),
    Type(KINDS["enum"], values=ENUM),
)
NESTED = Type(KINDS["struct"], fields=tuple((f"f{place}", kind) for place, kind in enumerate(SCALARS)))
FROM_TEXT = {*WHOLE_BITS, *FLOATS, "boolean"}
KNOWN_TO_SPARK = {"NONE", "STRING", "INT", "DECIMAL", "TIMESTAMP", "DATE", "LIST"}
"""The notes of Parquet's types that Spark 3.3 reads. It refuses a file with TIME, UUID or JSON."""


def exported(table: pa.Table, columns: dict[str, str], folder: Path) -> pq.ParquetFile:
    """As the converter writes it, by way of a clean file."""
    dataset = a_dataset(columns, key=["id"])
    pq.write_table(table, folder / "clean.parquet")
    with pq.ParquetFile(folder / "clean.parquet") as clean:
        parquet.write(
            clean_rows(clean, Layout(dataset, parquet.FORMAT)), dataset.exports, folder / "export.parquet"
        )
    return pq.ParquetFile(folder / "export.parquet")


def test_spark_and_athena_know_every_type(tmp_path: Path) -> None:
    columns = {"id": "int64"} | {f"c{place}": str(kind) for place, kind in enumerate((*SCALARS, NESTED))}
    schema = data_schema(a_dataset(columns, key=["id"]))
    with exported(schema.empty_table(), columns, tmp_path) as file:
        found = [file.schema.column(place) for place in range(len(file.schema))]
        assert {column.logical_type.type for column in found} <= KNOWN_TO_SPARK
        assert {column.physical_type for column in found} == {
            "INT32", "INT64", "FLOAT", "DOUBLE", "BOOLEAN", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
        }  # fmt: skip
        fixed = {column.logical_type.type for column in found if column.physical_type.startswith("FIXED")}
        assert fixed == {"DECIMAL"}


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_value_in_the_csv_is_read_back_by_a_column_of_its_type(data: st.DataObject) -> None:
    kind = data.draw(TYPES)
    found = [value for _, value in data.draw(st.lists(values(kind), min_size=1, max_size=4))]
    dataset = a_dataset({"id": "int64", "x": str(kind)}, key=["id"])
    stored = [pa.array(range(len(found)), pa.int64()), pa.array(found, arrow_type(kind))]
    table = pa.table(stored, schema=data_schema(dataset)).cast(export_schema(dataset))
    text = csv.encode_csv(frame_of(table), dataset.exports.csv, header=True).decode()
    _, *rows = python_csv.reader(io.StringIO(text, newline=""))
    for (_, cell), value in zip(rows, found, strict=True):
        if kind.name in {"string", "enum"}:
            assert cell.removeprefix("'") == (value or "").removeprefix("'")
        elif value is None:
            assert cell == ""
        elif kind.name in NESTED_NAMES:
            json.loads(cell)
        elif kind.name == "json":
            assert cell.removeprefix("'") == value
        else:
            column = Column(name="x", type=str(kind), from_text=kind.name in FROM_TEXT)
            assert read(kind, column, cell) == value


def test_bytes_are_written_in_the_encoding_of_their_column(tmp_path: Path) -> None:
    columns: list[dict[str, Any]] = [
        {"name": "id", "type": "int64"},
        {"name": "as_hex", "type": "binary", "encoding": "hex"},
        {"name": "as_base64", "type": "binary"},
        {"name": "list_hex", "type": "list<binary>", "encoding": "hex"},
        {"name": "deep_hex", "type": "list<struct<b: binary, n: int8>>", "encoding": "hex"},
        {"name": "list_base64", "type": "list<binary>"},
    ]
    dataset = a_dataset_of(columns, key=["id"])
    inner = [b"\x00\xff", None]
    rows: list[list[Any]] = [
        *([1, 2], inner, inner, [inner, None], [[{"b": b"\x00\xff", "n": 1}, None], []], [inner, None]),
    ]
    schema = data_schema(dataset)
    stored = [pa.array(values, field.type) for values, field in zip(rows, schema, strict=True)]
    pq.write_table(pa.table(stored, schema=schema), tmp_path / "clean.parquet")
    with pq.ParquetFile(tmp_path / "clean.parquet") as clean:
        for name, format_ in (("csv", csv), ("parquet", parquet)):
            format_.FORMAT.write(
                clean_rows(clean, Layout(dataset, format_.FORMAT)), dataset.exports, tmp_path / name
            )
    text = gzip.decompress((tmp_path / "csv").read_bytes()).decode()
    assert list(python_csv.reader(io.StringIO(text, newline=""))) == [
        ["id", "as_hex", "as_base64", "list_hex", "deep_hex", "list_base64"],
        ["1", "00ff", "AP8=", '["00ff",null]', '[{"b":"00ff","n":1},null]', '["AP8=",null]'],
        ["2", "", "", "", "[]", ""],
    ]
    assert pq.read_table(tmp_path / "parquet").column("as_hex").to_pylist() == [b"\x00\xff", None]


@settings(deadline=None, max_examples=50, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_any_value_is_in_the_parquet(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    types = [*SCALARS, data.draw(TYPES), Type(KINDS["list"], item=data.draw(TYPES))]
    columns = {"id": "int64"} | {f"c{place}": str(kind) for place, kind in enumerate(types)}
    schema = data_schema(a_dataset(columns, key=["id"]))
    rows = data.draw(st.integers(1, 4))
    found = [data.draw(st.lists(values(kind), min_size=rows, max_size=rows)) for kind in types]
    stored = [list(range(rows)), *([value for _, value in column] for column in found)]
    arrays = [pa.array(column, field.type) for column, field in zip(stored, schema, strict=True)]
    table = pa.table(arrays, schema=schema)
    with exported(table, columns, tmp_path_factory.mktemp("export")) as file:
        # Arrow's schema in the file tells that a duration is one.
        assert file.read().cast(schema).equals(table)
