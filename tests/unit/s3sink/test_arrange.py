"""Which rows of an object go into which file, and in which order: held against plain Python."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.s3sink.adapters import arrange as module
from services.s3sink.adapters.arrange import BATCH, ROW, Arrangement, TooManyFilesError, arrange
from shared.datasets.lake import Lake

BY_COUNTRY = Lake(partition_by=("country",))


def keys(rows: Sequence[tuple[int, str | None, int | None]]) -> pa.Table:
    """Rows of a batch, a country and a number."""
    return pa.table(
        {
            BATCH: pa.array([batch for batch, _, _ in rows], pa.int32()),
            ROW: pa.array(range(len(rows)), pa.int64()),
            "country": pa.array([country for _, country, _ in rows], pa.string()),
            "id": pa.array([number for _, _, number in rows], pa.int64()),
        }
    )


def order_of(found: Arrangement, rows: int) -> list[int]:
    return list(range(rows)) if found.rows is None else found.rows.to_pylist()


def test_rows_that_are_sorted_stay_as_they_came() -> None:
    found = arrange(keys([(0, "a", 1), (0, "b", 2), (1, "a", 2), (1, "a", 9)]), Lake(), ["id"])
    assert found.rows is None
    [part] = found.parts
    assert (part.values, part.start, part.stop) == ((), 0, 4)
    assert part.batches == {0, 1}


def test_equal_keys_keep_the_order_in_which_they_came_and_nulls_are_last() -> None:
    rows = [(0, "a", 5), (0, "b", None), (1, "c", 5), (1, "d", 1)]
    assert order_of(arrange(keys(rows), Lake(), ["id"]), 4) == [3, 0, 2, 1]


def test_each_folder_has_one_file_whose_rows_are_sorted() -> None:
    rows = [(0, "de", 3), (0, "at", 2), (1, "de", 1), (1, None, 0), (2, "", 7)]
    found = arrange(keys(rows), BY_COUNTRY, ["id"])
    numbers = order_of(found, 5)
    files = [(*part.values, numbers[part.start : part.stop], sorted(part.batches)) for part in found.parts]
    assert files == [("at", [1], [0]), ("de", [2, 0], [0, 1]), (None, [3, 4], [1, 2])]


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("year", ["2024", "0001"]),
        ("month", ["2024-02", "0001-01"]),
        ("day", ["2024-02-29", "0001-01-02"]),
        ("hour", ["2024-02-29-23", "0001-01-02-00"]),
    ],
)
def test_times_are_cut_to_their_unit_in_utc(unit: str, texts: list[str]) -> None:
    moments = [datetime(2024, 2, 29, 23, 59, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC)]
    table = keys([(0, "x", 1)] * 2).append_column("at", pa.array(moments, pa.timestamp("us", "UTC")))
    found = arrange(table, Lake(partition_by=(f"at.{unit}",)), [])
    assert sorted(part.values for part in found.parts) == sorted((text,) for text in texts)


def test_dates_numbers_and_booleans_name_folders() -> None:
    table = keys([(0, "x", -7)]).append_column("on", pa.array([date(2024, 1, 5)], pa.date32()))
    table = table.append_column("is_new", pa.array([True]))
    found = arrange(table, Lake(partition_by=("on", "id", "is_new", "on.month")), [])
    assert [part.values for part in found.parts] == [("2024-01-05", "-7", "true", "2024-01")]


def test_partitions_that_are_too_fine_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    rows = [(0, str(number), number) for number in range(4)]
    with pytest.raises(TooManyFilesError, match=r"4 folders \(part_country\).*coarser"):
        arrange(keys(rows), BY_COUNTRY, [])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([None, "", "de", "a/b", "é"]),
        st.none() | st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS, order=st.sampled_from([[], ["id"], ["country", "id"]]), is_partitioned=st.booleans())
def test_every_row_is_in_one_file_and_in_its_place(
    rows: list[tuple[int, str | None, int | None]], order: list[str], is_partitioned: bool
) -> None:
    found = arrange(keys(rows), BY_COUNTRY if is_partitioned else Lake(), order)
    numbers = order_of(found, len(rows))
    assert sorted(numbers) == list(range(len(rows)))
    assert [part.start for part in found.parts] == [0, *(part.stop for part in found.parts)][:-1]
    assert found.parts[-1].stop == len(rows)
    for part in found.parts:
        mine = numbers[part.start : part.stop]
        assert mine == sorted(mine, key=lambda number: _place(rows[number], order, number))
        assert part.batches == {rows[number][0] for number in mine}
        if is_partitioned:
            assert {rows[number][1] or None for number in mine} == set(part.values)
    assert len({part.values for part in found.parts}) == len(found.parts)


def _place(row: tuple[int, str | None, int | None], order: list[str], number: int) -> Any:
    values = {"country": row[1], "id": row[2]}
    sorts = [(values[name] is None, _bytes(values[name])) for name in order]
    return (*sorts, number)


def _bytes(value: str | int | None) -> Any:
    return value.encode() if isinstance(value, str) else (value or 0)
