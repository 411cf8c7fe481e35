"""CSV files with the options of a dataset's file, read back by Python, duckdb and pandas."""

import csv
import datetime as dt
import gzip
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings

from shared.errors import PermanentError
from tests.support.exports import UTC_TIMES, column_of, queried, tables, texts_table, write

PLAIN = {"compression": "none"}


def text_of(table: pa.Table, folder: Path, **options: Any) -> str:
    return write("csv", table, folder, {**PLAIN, **options}, pieces=2).read_bytes().decode()


@settings(deadline=None, max_examples=50)
@given(tables(nested=False))
def test_every_value_is_read_back_by_duckdb(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table
) -> None:
    kept = table.drop_columns(
        [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_duration(f.type)]
    )
    file = write("csv", kept, tmp_path_factory.mktemp("csv"), pieces=2)
    types = {field.name: _sql_type(field.type) for field in kept.schema}
    casts = ", ".join(
        f"from_base64(ltrim({name}, ''''))" if kind == "BLOB" else f"CAST({name} AS {kind}) AS {name}"
        for name, kind in types.items()
    )
    found = queried(
        f"SELECT {casts} FROM read_csv('{file}', header = true, all_varchar = true, delim = ',', quote = '\"', "
        "allow_quoted_nulls = false)"
    )
    assert found.rename_columns(kept.column_names).cast(kept.schema).equals(kept)


def _sql_type(kind: pa.DataType) -> str:
    if isinstance(kind, pa.Decimal128Type):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    names = {"int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "float": "FLOAT",
             "double": "DOUBLE", "bool": "BOOLEAN", "date32[day]": "DATE", "time64[us]": "TIME"}  # fmt: skip
    return "TIMESTAMPTZ" if pa.types.is_timestamp(kind) else names.get(str(kind), "BLOB")


def test_lists_and_structs_are_json(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct([("d", pa.date32()), ("p", pa.decimal128(8, 2))]))
    values = pa.array([[{"d": dt.date(2026, 1, 2), "p": Decimal("1.50")}], None, []], kind)
    table = pa.table({"id": [1, 2, 3], "v": values})
    assert [row for _, row in csv.reader(io.StringIO(text_of(table, tmp_path), newline=""))] == [
        "v",
        '[{"d":"2026-01-02","p":"1.50"}]',
        "",
        "[]",
    ]


def test_a_sheet_for_people_who_write_commas_in_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": pa.array([1.5, None]),
            "d": pa.array([Decimal("-2.50"), None], pa.decimal128(9, 2)),
            "day": pa.array([dt.date(2026, 11, 29), None]),
            "at": pa.array([dt.datetime(2026, 11, 29, 10, 5, 6, 7, dt.UTC), None], UTC_TIMES),
        }
    )
    options = {"delimiter": ";", "decimal_comma": True, "bom": True, "null_text": "\\N"}
    formats = {"date_format": "%d.%m.%Y", "timestamp_format": "%d.%m.%y %H:%M:%S%.3f%:z"}
    text = text_of(table, tmp_path, **options, **formats)
    assert text == (
        '\ufeff"x";"d";"day";"at"\r\n1,5;-2,50;"29.11.2026";"29.11.26 10:05:06.000+00:00"\r\n\\N;\\N;\\N;\\N\r\n'
    )
    found = pd.read_csv(io.StringIO(text.removeprefix("\ufeff")), sep=";", decimal=",", na_values="\\N")
    assert found["x"].tolist()[0] == 1.5


def test_a_text_that_reads_like_null_is_not_null(tmp_path: Path) -> None:
    text = text_of(texts_table(["\\N", None, ""]), tmp_path, null_text="\\N")
    assert text == '"id","name"\r\n0,"\\N"\r\n1,\\N\r\n2,""\r\n'
    (tmp_path / "f.csv").write_text(text)
    options = "header = true, nullstr = '\\N', allow_quoted_nulls = false"
    found = queried(f"SELECT name FROM read_csv('{tmp_path}/f.csv', {options})")
    assert found["name"].to_pylist() == ["\\N", None, ""]


def test_every_field_may_be_in_quotes(tmp_path: Path) -> None:
    assert text_of(texts_table(["a", None]), tmp_path, quote="all") == '"id","name"\r\n"0","a"\r\n"1",""\r\n'


@pytest.mark.parametrize(
    ("compression", "ending"), [("gzip", ".csv.gz"), ("zstd", ".csv.zst"), ("none", ".csv")]
)
def test_each_compression_is_read_back(tmp_path: Path, compression: str, ending: str) -> None:
    file = write("csv", texts_table(["a"]), tmp_path, {"compression": compression})
    assert file.name.endswith(ending)
    data = file.read_bytes()
    if compression == "gzip":
        data = gzip.decompress(data)
    if compression == "zstd":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    assert data == b"id,name\r\n0,a\r\n"


def test_a_float_inside_a_list_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="column value: a value is NaN or infinite"):
        write("csv", column_of([float("nan")], pa.list_(pa.float64())), tmp_path)


def test_a_text_of_ten_megabytes_is_whole(tmp_path: Path) -> None:
    text = 'é,"\n' * (10 * 2**20 // 5)
    found = pd.read_csv(write("csv", texts_table([text]), tmp_path))
    assert found["name"][0] == text
