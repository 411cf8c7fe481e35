"""JSON files, read back by Python, duckdb and pandas."""

import base64
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings

from shared.errors import PermanentError
from tests.support.exports import as_text, column_of, queried, tables, write


def value_of(text: Any, kind: pa.DataType) -> Any:
    """What a reader makes of JSON's value who knows the column's type."""
    if text is None:
        return None
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return base64.b64decode(text)
    if pa.types.is_duration(kind):
        return pd.Timedelta(text).to_pytimedelta()
    return text


@settings(deadline=None, max_examples=50)
@given(tables())
def test_every_value_is_read_back(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> None:
    file = write("json", table, tmp_path_factory.mktemp("json"), pieces=2)
    found = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert [list(row) for row in found] == [table.column_names] * table.num_rows
    for field in table.schema:
        expected = [as_text(value) for value in table.column(field.name).to_pylist()]
        got = [value_of(row[field.name], field.type) for row in found]
        if field.type == pa.float32():
            got = pa.array(got, pa.float32()).to_pylist()
        assert got == expected, field


def test_duckdb_reads_lines_and_an_array_alike(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2, 3], "name": ["a\nb", None, "😀"], "x": [0.1, None, 1e300]})
    for options in ({}, {"shape": "array"}, {"shape": "array", "compression": "none"}):
        file = write("json", table, tmp_path, options, pieces=2)
        assert queried(f"SELECT * FROM read_json('{file}')").equals(table)


def test_pandas_reads_the_lines(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "name": ["a", "=1+1"]})
    found = pd.read_json(write("json", table, tmp_path), lines=True)
    assert found.to_dict("list") == {"id": [1, 2], "name": ["a", "=1+1"]}


@pytest.mark.parametrize(("rows", "expected"), [(0, []), (1, [{"id": 0, "value": "x"}])])
def test_an_array_of_none_and_of_one_is_json(
    tmp_path: Path, rows: int, expected: list[dict[str, Any]]
) -> None:
    file = write(
        "json", column_of("x", pa.string(), rows), tmp_path, {"shape": "array", "compression": "none"}
    )
    assert json.loads(file.read_bytes()) == expected


def test_zstd_is_read_back(tmp_path: Path) -> None:
    file = write("json", column_of("x", pa.string()), tmp_path, {"compression": "zstd", "level": 9})
    assert file.name.endswith(".json.zst")
    with zstandard.open(file) as text:
        assert json.loads(text.read()) == {"id": 0, "value": "x"}


def test_integers_and_decimals_keep_their_digits(tmp_path: Path) -> None:
    file = write("json", pa.table({"n": pa.array([2**63 - 1, -(2**63)])}), tmp_path, {"compression": "none"})
    assert file.read_text() == '{"n":9223372036854775807}\n{"n":-9223372036854775808}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (pa.float64(), lambda value: value),
        (pa.float32(), lambda value: value),
        (pa.list_(pa.float64()), lambda value: [1.0, value]),
        (pa.struct([("f", pa.list_(pa.float64()))]), lambda value: {"f": [None, value]}),
    ],
)
def test_a_float_that_is_no_number_is_refused_with_its_column(
    tmp_path: Path, kind: pa.DataType, wrap: Any, value: float
) -> None:
    with pytest.raises(PermanentError, match="column value: a value is NaN or infinite"):
        write("json", column_of(wrap(value), kind), tmp_path)


def test_null_lists_and_structs_stay_null_and_empty_ones_empty(tmp_path: Path) -> None:
    times = pa.list_(pa.struct([("at", pa.timestamp("us", tz="UTC")), ("x", pa.float64())]))
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC)
    table = pa.table({"v": pa.array([None, [], [None], [{"at": moment, "x": None}]], times)})
    file = write("json", table, tmp_path, {"compression": "none"})
    assert [json.loads(line)["v"] for line in file.read_text().splitlines()] == [
        None,
        [],
        [None],
        [{"at": "2026-01-02T03:04:05.000006Z", "x": None}],
    ]


def test_a_text_of_ten_megabytes_is_whole(tmp_path: Path) -> None:
    text = "é\n" * (5 * 2**20 // 2)
    file = write("json", column_of(text, pa.string()), tmp_path)
    assert json.loads(gzip.decompress(file.read_bytes()))["value"] == text
