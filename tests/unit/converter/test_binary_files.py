"""Parquet and Feather files, read back by pyarrow, duckdb and pandas."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from tests.support.exports import column_of, queried, tables, write

REPEATED = pa.table(
    {
        "id": pa.array(range(250_000), pa.int64()),
        "kind": pa.array(["a", "b"] * 125_000),
        "tags": pa.array([["x", "y"]] * 250_000),
    }
)


@settings(deadline=None, max_examples=50)
@given(tables())
def test_every_value_and_type_is_read_back(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> None:
    folder = tmp_path_factory.mktemp("binary")
    assert pq.read_table(write("parquet", table, folder, pieces=2)).equals(table)
    assert pf.read_table(write("feather", table, folder, pieces=2)).equals(table)


@settings(deadline=None, max_examples=20)
@given(tables())
def test_duckdb_reads_the_same_values_from_parquet(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table
) -> None:
    kept = table.drop_columns([field.name for field in table.schema if pa.types.is_duration(field.type)])
    file = write("parquet", kept, tmp_path_factory.mktemp("parquet"))
    found = queried(f"SELECT * FROM '{file}'")
    assert found.cast(kept.schema).equals(kept)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_pandas_reads_each_compression_of_feather(tmp_path: Path, compression: str) -> None:
    file = write("feather", column_of("x", pa.string(), 3), tmp_path, {"compression": compression})
    assert pd.read_feather(file).to_dict("list") == {"id": [0, 1, 2], "value": ["x"] * 3}


@pytest.mark.parametrize(
    ("options", "groups", "compression"),
    [
        ({}, [100_000, 100_000, 50_000], "ZSTD"),
        ({"row_group_rows": 200_000, "level": 1}, [200_000, 50_000], "ZSTD"),
        ({"compression": "snappy"}, [100_000, 100_000, 50_000], "SNAPPY"),
    ],
)
def test_row_groups_and_compression_of_parquet(
    tmp_path: Path, options: dict[str, Any], groups: list[int], compression: str
) -> None:
    file = pq.ParquetFile(write("parquet", REPEATED, tmp_path, options, pieces=7))
    meta = file.metadata
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == groups
    column = meta.row_group(0).column(0)
    assert (column.compression, column.is_stats_set, column.has_offset_index, column.has_column_index) == (
        compression,
        True,
        True,
        True,
    )
    assert file.read().equals(REPEATED)


def test_dictionaries_are_where_they_pay(tmp_path: Path) -> None:
    meta = pq.ParquetFile(write("parquet", REPEATED, tmp_path)).metadata.row_group(0)
    encodings = {meta.column(n).path_in_schema: set(meta.column(n).encodings) for n in range(3)}
    assert "RLE_DICTIONARY" not in encodings["id"]
    assert "RLE_DICTIONARY" in encodings["kind"] & encodings["tags.list.element"]


@pytest.mark.parametrize("rows", [0, 1])
def test_none_and_one_row(tmp_path: Path, rows: int) -> None:
    table = column_of("é", pa.string(), rows)
    assert pq.read_table(write("parquet", table, tmp_path)).equals(table)
    assert pf.read_table(write("feather", table, tmp_path)).equals(table)
