"""Rows are the same whether they are held in memory or in the file, and in the file above a bound."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from services.processor.adapters.stored_rows import RowBuffer, kept_pieces

FIELDS: dict[str, Any] = {"id": pa.int64(), "text": pa.string()}
SCHEMA = pa.schema(FIELDS)
PIECES = [
    pa.RecordBatch.from_pylist(rows, SCHEMA)
    for rows in ([{"id": 1, "text": "a"}, {"id": 2, "text": "b"}], [], [{"id": 3, "text": "c" * 1000}])
]


def stored(file: Path, held_bytes: int) -> RowBuffer:
    with RowBuffer(file, SCHEMA, held_bytes) as store:
        for piece in PIECES:
            store.add(piece)
    return store


@pytest.mark.parametrize("held_bytes", [0, 1, 500, 2**20])
def test_rows_are_read_as_they_were_added(tmp_path: Path, held_bytes: int) -> None:
    file = tmp_path / "rows.arrow"
    rows = stored(file, held_bytes).rows
    for _ in range(2):
        assert [piece.to_pydict() for piece in rows.pieces()] == [
            PIECES[0].to_pydict(),
            PIECES[2].to_pydict(),
        ]
    assert rows.columns(["text"]).to_pydict() == {"text": ["a", "b", "c" * 1000]}
    assert file.exists() == (held_bytes < 1000)


def test_of_no_rows_there_are_the_columns(tmp_path: Path) -> None:
    with RowBuffer(tmp_path / "rows.arrow", SCHEMA, 2**20) as store:
        pass
    assert store.rows.columns(["id"]).schema == pa.schema([SCHEMA.field("id")])
    assert list(store.rows.pieces()) == []


def test_rows_that_are_not_kept_are_left_out(tmp_path: Path) -> None:
    rows = stored(tmp_path / "rows.arrow", 2**20).rows
    kept = [table.to_pydict()["id"] for table in kept_pieces(rows, pl.Series([True, False, True]))]
    assert kept == [[1], [3]]
