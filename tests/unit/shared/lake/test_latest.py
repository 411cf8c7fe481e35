"""Which rows stay, against a plain search for the largest."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.datasets.arrow import LINEAGE_FIELDS
from shared.errors import PermanentError
from shared.lake.latest import LatestRows
from shared.lake.rewrite import SourceFile

START = datetime(2026, 11, 23, tzinfo=UTC)

rows = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["a", "B", "é"]), st.integers(0, 2), st.integers(0, 3)),
    max_size=30,
)
"""Key, run, hour of its request, position. A run has one request."""


def put(folder: Path, number: int, drawn: list[tuple[int, str, int, int]], key: Any = None) -> SourceFile:
    schema = pa.schema([pa.field("id", key or pa.int64()), *LINEAGE_FIELDS])
    content = [
        {
            "id": identity,
            "_run_id": f"{run}{hour}",
            "_batch_id": "b",
            "_requested_at": START + timedelta(hours=hour),
            "_source_position": position,
        }
        for identity, run, hour, position in drawn
    ]
    path = folder / f"{number}.parquet"
    pq.write_table(pa.Table.from_pylist(content, schema=schema), path)
    return SourceFile(f"memory://lake/{number}", path, len(content))


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["_requested_at"], row["_run_id"].encode(), row["_source_position"]


@given(st.lists(rows, min_size=1, max_size=4))
def test_of_each_key_the_largest_stays_wherever_it_is(drawn: list[list[tuple[int, str, int, int]]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        sources = [put(folder, number, content) for number, content in enumerate(drawn)]
        with LatestRows(folder, ["id"]) as latest:
            for number, source in enumerate(sources):
                latest.add(str(number), source)
            superseded = set(latest.settle())
            kept: list[dict[str, Any]] = []
            for number, source in enumerate(sources):
                choice = latest.choice([str(number)])
                pieces = pq.read_table(source.path).combine_chunks().to_batches()
                stays = [row for piece in pieces for row in choice(0, piece, 0).to_pylist()]
                assert (len(stays) < source.rows) == (str(number) in superseded)
                assert sum(choice.runs.values()) == len(stays)
                kept += stays
        everything = [row for source in sources for row in pq.read_table(source.path).to_pylist()]
    newest = {
        row["id"]: max(order(other) for other in everything if other["id"] == row["id"]) for row in everything
    }
    assert sorted(map(order, kept)) == sorted(
        order(row) for row in everything if order(row) == newest[row["id"]]
    )


def test_a_key_of_two_types_is_refused_by_name(tmp_path: Path) -> None:
    with LatestRows(tmp_path, ["id"]) as latest:
        latest.add("0", put(tmp_path, 0, [(1, "a", 0, 0)]))
        with pytest.raises(PermanentError, match="the key id is int32, in other files int64"):
            latest.add("1", put(tmp_path, 1, [(1, "a", 0, 0)], pa.int32()))


def test_a_file_without_the_key_is_refused_by_name(tmp_path: Path) -> None:
    with LatestRows(tmp_path, ["other"]) as latest, pytest.raises(PermanentError, match="no column other"):
        latest.add("0", put(tmp_path, 0, [(1, "a", 0, 0)]))
