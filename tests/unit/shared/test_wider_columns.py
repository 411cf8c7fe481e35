"""Rows of several versions in one file: what is missing is null, and narrower values are the same in a wider type."""

import pyarrow as pa
import pytest

from shared.parquet.columns import align


@pytest.mark.parametrize(
    ("values", "kind", "wider", "wanted"),
    [
        ([1, None, -5], pa.int32(), pa.int64(), [1, None, -5]),
        ([1, -(2**31)], pa.int32(), pa.float64(), [1.0, -(2.0**31)]),
        ([2**63 - 1, None], pa.int64(), pa.string(), ["9223372036854775807", None]),
        ([True, False], pa.bool_(), pa.string(), ["true", "false"]),
        ([0.1, 1.0, 1e300], pa.float64(), pa.string(), ["0.1", "1", "1e+300"]),
        (["x"], pa.string(), pa.string(), ["x"]),
    ],
)
def test_no_value_changes(
    values: list[object], kind: pa.DataType, wider: pa.DataType, wanted: list[object]
) -> None:
    rows = pa.table({"a": pa.array(values, kind)})
    found = align(rows, pa.schema([("b", pa.int64()), ("a", wider)]))
    assert found.to_pydict() == {"b": [None] * len(values), "a": wanted}


def test_a_value_that_would_change_is_no_wider_one() -> None:
    rows = pa.table({"a": pa.array([2**53 + 1])})
    with pytest.raises(pa.ArrowInvalid):
        align(rows, pa.schema([("a", pa.float64())]))
