from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.loader.adapters.encoder import CHUNK_ROWS, Pieces, encode_copy, null_counts
from shared.datasets.catalog import load_catalog
from shared.events.models import Artifact
from tests.support.processed import a_dataset

ARTIFACT = Artifact(uri="memory://staging/x", format="parquet", rows=1, bytes=1, sha256="0" * 64)
IDS = a_dataset({"id": "int64"}, ["id"])


async def encoded(table: pa.Table, file: Path) -> list[bytes]:
    pq.write_table(table, file)
    with pq.ParquetFile(file) as parquet:
        return [chunk async for chunk in encode_copy(parquet, ARTIFACT, IDS)]


async def test_every_row_is_between_one_header_and_one_trailer(tmp_path: Path) -> None:
    rows = 2 * CHUNK_ROWS + 1
    body = b"".join(
        await encoded(pa.table({"id": pa.array(range(rows), pa.int64())}), tmp_path / "a.parquet")
    )
    header = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
    row = b"\x00\x01\x00\x00\x00\x08"
    assert body.startswith(header + row)
    assert body.endswith(row + (rows - 1).to_bytes(8, "big") + b"\xff\xff")
    assert len(body) == len(header) + rows * (len(row) + 8) + 2


async def test_a_large_file_leaves_in_pieces(tmp_path: Path) -> None:
    pieces = await encoded(pa.table({"text": ["x" * 1000] * (3 * CHUNK_ROWS)}), tmp_path / "a.parquet")
    assert max(map(len, pieces)) < 2 * CHUNK_ROWS * 1000


async def test_null_and_empty_text_are_told_apart(tmp_path: Path) -> None:
    body = b"".join(await encoded(pa.table({"text": pa.array([None, ""])}), tmp_path / "a.parquet"))
    assert body[19:-2] == b"\x00\x01\xff\xff\xff\xff" + b"\x00\x01\x00\x00\x00\x00"


@pytest.mark.parametrize("told", [True, False])
async def test_nulls_are_counted_by_the_footer_or_by_reading(tmp_path: Path, *, told: bool) -> None:
    posts = load_catalog(None)["posts"]
    rows = pa.table(
        {
            "id": pa.array(range(5), pa.int64()),
            "user_id": pa.array([1, None, 3, None, None], pa.int64()),
            "title": pa.array(["a", "", None, "d", "e"]),
        }
    )
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=2, write_statistics=told)
    with pq.ParquetFile(tmp_path / "a.parquet") as parquet:
        # It has no body: a column that came later is null in every row.
        assert null_counts(parquet, ARTIFACT, posts) == {"id": 0, "user_id": 3, "title": 1, "body": 5}


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1000), (0, 1), (99, 101), (250, 250), (42, 958), (999, 1000)]
)
async def test_any_rows_are_encoded_as_a_file_of_them_alone(tmp_path: Path, start: int, stop: int) -> None:
    rows = pa.table(
        {
            "id": pa.array(range(1000), pa.int64()),
            "flag": [n % 3 == 0 if n % 5 else None for n in range(1000)],
            "text": [f"row {n}" if n % 7 else None for n in range(1000)],
        }
    )
    expected = await encoded(rows.slice(start, stop - start), tmp_path / "alone.parquet")
    pq.write_table(rows, tmp_path / "all.parquet", row_group_size=100)
    with pq.ParquetFile(tmp_path / "all.parquet") as parquet:
        pieces = Pieces(parquet, ARTIFACT, IDS)
        assert b"".join([chunk async for chunk in pieces.encode(start, stop)]) == b"".join(expected)
        assert pieces.row(min(start, 999)) == rows.slice(min(start, 999), 1).to_pylist()[0]
