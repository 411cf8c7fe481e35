"""The one Parquet writer: where row groups end, what a file without rows is, what a missing column becomes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.parquet.writer import RowGroupLimits, RowGroupWriter

COLUMNS: dict[str, pa.DataType] = {"id": pa.int64(), "title": pa.string()}
SCHEMA = pa.schema(COLUMNS)
LIMITS = RowGroupLimits(rows=10, size_bytes=2**20)


def no_options(_: pa.Table) -> Mapping[str, Any]:
    return {}


def rows(count: int) -> pa.Table:
    return pa.table({"id": list(range(count)), "title": [f"t{n}" for n in range(count)]}, schema=SCHEMA)


def groups_of(file: Path) -> list[int]:
    metadata = pq.read_metadata(file)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_pieces_of_any_size_become_full_row_groups(tmp_path: Path) -> None:
    writer = RowGroupWriter(tmp_path / "f", SCHEMA, LIMITS, no_options)
    for count in (3, 25, 0, 4):
        writer.append(rows(count))
    assert writer.finish() == 32
    assert groups_of(tmp_path / "f") == [10, 10, 10, 2]


def test_a_row_group_ends_at_its_bytes(tmp_path: Path) -> None:
    writer = RowGroupWriter(tmp_path / "f", SCHEMA, RowGroupLimits(rows=10**6, size_bytes=1), no_options)
    for _ in range(3):
        writer.append(rows(4))
    writer.finish()
    assert groups_of(tmp_path / "f") == [4, 4, 4]


def test_options_are_chosen_by_the_first_row_group(tmp_path: Path) -> None:
    seen: list[int] = []

    def options(first: pa.Table) -> Mapping[str, Any]:
        seen.append(first.num_rows)
        return {}

    writer = RowGroupWriter(tmp_path / "f", SCHEMA, LIMITS, options)
    writer.append(rows(25))
    writer.finish()
    assert seen == [10]


def test_a_file_without_rows_has_the_schema(tmp_path: Path) -> None:
    assert RowGroupWriter(tmp_path / "f", SCHEMA, LIMITS, no_options).finish() == 0
    assert pq.read_table(tmp_path / "f").schema == SCHEMA


def test_a_column_that_a_piece_lacks_is_null_and_one_too_many_is_left_out(tmp_path: Path) -> None:
    writer = RowGroupWriter(tmp_path / "f", SCHEMA, LIMITS, no_options)
    writer.append(pa.table({"other": [1.5], "id": [7]}))
    writer.finish()
    assert pq.read_table(tmp_path / "f").to_pylist() == [{"id": 7, "title": None}]


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    writer = RowGroupWriter(tmp_path / "f", SCHEMA, LIMITS, no_options)
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, TypeError)):
        writer.append(pa.table({"id": ["seven"], "title": ["t"]}))
    writer.abandon()
