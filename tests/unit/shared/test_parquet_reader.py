"""Clean files are decoded in pieces of bounded rows and bytes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shared.parquet.reader import PIECE_BYTES, pieces_of


def a_file(folder: Path, rows: int, row_bytes: int, group_rows: int) -> pq.ParquetFile:
    file = folder / "rows.parquet"
    texts = [f"{number:08}" * (row_bytes // 8) for number in range(rows)]
    pq.write_table(pa.table({"id": range(rows), "text": texts}), file, row_group_size=group_rows)
    return pq.ParquetFile(file)


def test_narrow_rows_are_cut_by_their_number_within_a_row_group(tmp_path: Path) -> None:
    with a_file(tmp_path, 250, 8, 100) as parquet:
        assert [piece.num_rows for piece in pieces_of(parquet, 60)] == [60, 40, 60, 40, 50]


def test_wide_rows_are_cut_by_their_bytes(tmp_path: Path) -> None:
    with a_file(tmp_path, 10, PIECE_BYTES // 4, 8) as parquet:
        pieces = list(pieces_of(parquet, 60))
        assert max(piece.nbytes for piece in pieces) <= PIECE_BYTES
        assert sum(piece.num_rows for piece in pieces) == 10
        assert [piece.num_rows for piece in pieces_of(parquet, 60, columns=["id"])] == [8, 2]


def test_a_row_wider_than_a_piece_is_a_piece(tmp_path: Path) -> None:
    with a_file(tmp_path, 2, 2 * PIECE_BYTES, 2) as parquet:
        assert [piece.num_rows for piece in pieces_of(parquet, 60)] == [1, 1]
