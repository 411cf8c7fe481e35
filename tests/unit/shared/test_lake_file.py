import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.datasets.arrow import clean_schema
from shared.datasets.lake import Lake
from shared.parquet import lake_file
from shared.parquet.lake_file import open_lake_file
from tests.support.processed import a_dataset

DATASET = a_dataset({"id": "int64", "title": "string", "score": "float64"}, key=["id"])
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def a_table(rows: int, first: int = 0) -> pa.Table:
    ids = list(range(first, first + rows))
    columns: list[Any] = [ids, [f"title {number}" for number in ids], [number / 2 for number in ids]]
    lineage: list[Any] = [["run"] * rows, ["b"] * rows, [MOMENT] * rows, ids]
    values = zip([*columns, *lineage], clean_schema(DATASET), strict=True)
    return pa.table([pa.array(column, field.type) for column, field in values], schema=clean_schema(DATASET))


def write(file: Path, tables: list[pa.Table], **options: Any) -> int:
    dataset = DATASET.model_copy(update={"lake": Lake(**options)})
    lake = open_lake_file(file, dataset, {"run-id": "run-1"})
    for table in tables:
        for piece in table.to_batches(max_chunksize=1000):
            lake.append(piece)
    return lake.finish()


def test_all_rows_are_there_in_order_with_the_clean_schema(tmp_path: Path) -> None:
    tables = [a_table(1500), a_table(700, 1500), a_table(1, 2200)]
    assert write(tmp_path / "o.parquet", tables) == 2201
    found = pq.read_table(tmp_path / "o.parquet")
    assert found.equals(pa.concat_tables(tables))
    assert found.schema == clean_schema(DATASET)


def test_row_groups_are_full_across_batches(tmp_path: Path) -> None:
    tables = [a_table(700), a_table(700, 700), a_table(1600, 1400)]
    write(tmp_path / "o.parquet", tables, row_group_rows=1000)
    metadata = pq.read_metadata(tmp_path / "o.parquet")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [
        1000,
        1000,
        1000,
    ]


def test_wide_rows_end_a_row_group_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_file, "ROW_GROUP_BYTES", 100_000)
    write(tmp_path / "o.parquet", [a_table(10_000)])
    assert pq.read_metadata(tmp_path / "o.parquet").num_row_groups > 2


def test_the_same_batches_give_the_same_bytes(tmp_path: Path) -> None:
    tables = [a_table(5000), a_table(5000, 5000)]
    for name in ("a", "b"):
        write(tmp_path / name, tables)
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b")}
    assert len(digests) == 1


def test_a_column_that_an_older_file_lacks_is_null(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet", [a_table(2).drop_columns(["score"]), a_table(1, 2)])
    assert pq.read_table(tmp_path / "o.parquet").column("score").to_pylist() == [None, None, 1.0]


def test_columns_are_compressed_and_have_statistics(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet", [a_table(100)])
    group = pq.read_metadata(tmp_path / "o.parquet").row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    statistics = columns["id"].statistics
    assert statistics is not None
    assert (statistics.min, statistics.max) == (0, 99)
    assert columns["_run_id"].has_dictionary_page
    assert not columns["id"].has_dictionary_page


@pytest.mark.parametrize(
    ("options", "codec"),
    [({}, "ZSTD"), ({"codec": "snappy"}, "SNAPPY"), ({"codec": "gzip", "level": 1}, "GZIP")],
)
def test_the_codec_is_that_of_the_dataset(tmp_path: Path, options: dict[str, Any], codec: str) -> None:
    write(tmp_path / "o.parquet", [a_table(10)], **options)
    assert pq.read_metadata(tmp_path / "o.parquet").row_group(0).column(1).compression == codec


def test_a_level_that_is_higher_gives_a_smaller_file(tmp_path: Path) -> None:
    write(tmp_path / "fast.parquet", [a_table(20_000)], codec="zstd", level=1)
    write(tmp_path / "small.parquet", [a_table(20_000)], codec="zstd", level=19)
    assert (tmp_path / "small.parquet").stat().st_size < (tmp_path / "fast.parquet").stat().st_size


def test_only_the_columns_that_are_named_have_a_bloom_filter_and_it_is_right(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet", [a_table(5_000)], bloom=("title",))
    with duckdb.connect() as session:
        chunks = "SELECT path_in_schema FROM parquet_metadata(?) WHERE bloom_filter_offset IS NOT NULL"
        file = str(tmp_path / "o.parquet")
        assert session.execute(chunks, [file]).fetchall() == [("title",)]
        probe = "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'title', ?)"
        assert session.execute(probe, [file, "title 7"]).fetchall() == [(False,)]
        assert session.execute(probe, [file, "no such title"]).fetchall() == [(True,)]


def test_the_footer_tells_where_the_file_is_from(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet", [a_table(1)])
    assert (pq.read_metadata(tmp_path / "o.parquet").metadata or {})[b"onpoint.run-id"] == b"run-1"


def test_every_column_has_statistics_and_a_page_index(tmp_path: Path) -> None:
    write(tmp_path / "o.parquet", [a_table(100)])
    group = pq.read_metadata(tmp_path / "o.parquet").row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert all(
        column.is_stats_set and column.has_offset_index and column.has_column_index for column in columns
    )
