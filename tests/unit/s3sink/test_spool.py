from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.s3sink.adapters.spool import Spool

FIELDS: list[Any] = [
    pa.field("id", pa.int64()),
    pa.field("text", pa.string()),
    pa.field("tags", pa.list_(pa.field("element", pa.string()))),
]
SCHEMA = pa.schema(FIELDS)


def rows(first: int, count: int) -> pa.RecordBatch:
    numbers = range(first, first + count)
    return pa.RecordBatch.from_pydict(
        {
            "id": list(numbers),
            "text": [None if n % 3 == 0 else "x" * (n % 5) for n in numbers],
            "tags": [["t"] * (n % 3) for n in numbers],
        },
        SCHEMA,
    )


@given(sizes=st.lists(st.integers(0, 7), max_size=6), data=st.data())
def test_rows_come_in_the_order_that_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    everything = rows(0, sum(sizes))
    wanted = data.draw(st.lists(st.integers(0, sum(sizes) - 1), max_size=20)) if sum(sizes) else []
    file = Path(tmp_path_factory.mktemp("spool")) / "rows.arrow"
    with Spool(file, SCHEMA) as spool:
        first = 0
        for size in sizes:
            spool.append(everything.slice(first, size))
            first += size
        found = spool.take(pa.array(wanted, pa.int64()))
    assert found.schema == SCHEMA
    assert found.to_pylist() == [everything.slice(number, 1).to_pylist()[0] for number in wanted]


def test_a_column_that_a_piece_lacks_is_null(tmp_path: Path) -> None:
    with Spool(tmp_path / "rows.arrow", SCHEMA) as spool:
        spool.append(rows(0, 2).select(["id"]))
        spool.append(rows(2, 2))
        found = spool.take(pa.array([3, 0], pa.int64()))
    assert found.to_pylist() == [*rows(3, 1).to_pylist(), {"id": 0, "text": None, "tags": None}]
