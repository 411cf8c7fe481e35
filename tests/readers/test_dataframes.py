"""duckdb, pandas and fastavro read what they can of the formats, value for value."""

import csv
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pandas as pd
import pyarrow as pa
import pytest

from shared.events.names import Format
from tests.readers.source import NESTED, NO_NUMBERS_COLUMNS, TYPES, stored
from tests.readers.values import differences, value_of
from tests.support.exports import queried

pytestmark = pytest.mark.readers


def expected() -> dict[str, list[Any]]:
    table = stored(tuple(TYPES))
    return {name: table[name].to_pylist() for name in table.column_names}


def assert_same(found: dict[str, list[Any]], wanted: dict[str, list[Any]] | None = None) -> None:
    wanted = wanted or expected()
    assert list(found) == list(wanted)
    wrong = {
        name: different
        for name, values in found.items()
        if (different := differences(wanted[name], [value_of(name, value) for value in values]))
    }
    assert wrong == {}


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    return {name: [_utc(value) for value in table[name].to_pylist()] for name in table.column_names}


def _utc(value: Any) -> Any:
    match value:
        case dt.datetime():
            return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        case dt.timedelta():
            return value // dt.timedelta(microseconds=1)
        case list():
            return [_utc(item) for item in value]
        case dict():
            return {name: _utc(inner) for name, inner in value.items()}
        case _:
            return value


def test_duckdb_reads_parquet(files: dict[Format, Path]) -> None:
    assert_same(columns_of(queried(f"SELECT * FROM read_parquet('{files['parquet']}') ORDER BY id")))


def test_duckdb_reads_csv_as_text(files: dict[Format, Path]) -> None:
    """With the escape of formulas as it is written, and null told from an empty text."""
    found = queried(
        f"SELECT * FROM read_csv('{files['csv']}', all_varchar = true, allow_quoted_nulls = false)"
    )
    header, *rows = csv.reader(io.StringIO(files["csv"].read_bytes().decode(), newline=""))
    assert [tuple(value or "" for value in row.values()) for row in found.to_pylist()] == [
        tuple(row) for row in rows
    ]
    assert found.column_names == header
    texts = found["text"].to_pylist()
    assert [text is None for text in texts] == [text is None for text in expected()["text"]]


def test_duckdb_and_python_read_json_alike(files: dict[Format, Path]) -> None:
    lines = [json.loads(line) for line in files["json"].read_bytes().splitlines()]
    assert_same({name: [line[name] for line in lines] for name in lines[0]})
    read = queried(
        f"SELECT id, big, text, whole, code FROM read_json('{files['json']}', columns = "
        "{id: 'BIGINT', big: 'BIGINT', text: 'VARCHAR', whole: 'DECIMAL(38,0)', code: 'VARCHAR'}) ORDER BY id"
    )
    wanted = expected()
    assert_same(columns_of(read), {name: wanted[name] for name in read.column_names})


def test_pandas_reads_parquet_and_feather(files: dict[Format, Path]) -> None:
    for frame in (
        pd.read_parquet(files["parquet"], dtype_backend="pyarrow"),
        pd.read_feather(files["feather"], dtype_backend="pyarrow"),
    ):
        assert_same(columns_of(pa.Table.from_pandas(frame, preserve_index=False)))


def test_pandas_reads_csv_as_text(files: dict[Format, Path]) -> None:
    found = pd.read_csv(files["csv"], dtype=str, keep_default_na=False)
    _, *rows = csv.reader(io.StringIO(files["csv"].read_bytes().decode(), newline=""))
    assert found.to_numpy().tolist() == rows


def test_pandas_reads_the_texts_of_a_workbook(files: dict[Format, Path]) -> None:
    found = pd.read_excel(files["xlsx"], dtype=str, keep_default_na=False)
    for name in ("big", "whole", "day", "token"):
        assert [value_of(name, text or None) for text in found[name]] == expected()[name]


def test_fastavro_reads_avro(files: dict[Format, Path]) -> None:
    with files["avro"].open("rb") as file:
        rows = [_utc(row) for row in fastavro.reader(file)]
    assert_same({name: [row[name] for row in rows] for name in rows[0]})


@pytest.mark.parametrize("name", ["parquet", "feather", "csv"])
def test_infinities_and_no_numbers_are_read(odd_files: dict[Format, Path], name: Format) -> None:
    table = stored(NO_NUMBERS_COLUMNS)
    match name:
        case "parquet":
            frame = pd.read_parquet(odd_files[name])
        case "feather":
            frame = pd.read_feather(odd_files[name])
        case _:
            frame = pd.read_csv(odd_files[name], keep_default_na=False, na_values=[""])
    for column in NO_NUMBERS_COLUMNS:
        values = [None if row % 5 == 4 else float(value) for row, value in enumerate(frame[column])]
        assert differences(table[column].to_pylist(), values) == []


def test_nested_values_of_the_csv_are_json(files: dict[Format, Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_bytes().decode(), newline="")))
    for name in NESTED:
        found = [value_of(name, json.loads(row[name])) if row[name] else None for row in rows]
        assert differences(expected()[name], found) == []
