"""Rows of a Parquet object by value: what is found, and how little is read for it."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.parquet.lookup import FIRST_READ_BYTES, Found, find_rows

ROWS, GROUP = 10_000, 1_000


class Store:
    """An object whose reads are counted."""

    def __init__(self, table: pa.Table, **options: Any) -> None:
        file = io.BytesIO()
        pq.write_table(table, file, row_group_size=GROUP, **options)
        self.data = file.getvalue()
        self.read = 0

    async def fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.read += sum(end - start for start, end in ranges)
        return [self.data[start:end] for start, end in ranges]

    async def find(self, columns: Sequence[str] = ("at",), **wanted: Any) -> list[Found]:
        return await find_rows(self.fetch, len(self.data), wanted, columns)


def sorted_rows() -> pa.Table:
    return pa.table({"id": range(ROWS), "at": [f"row {n}" for n in range(ROWS)]})


def scattered(number: int) -> str:
    return f"{(number * 7919) % ROWS:08d}-key"


def scattered_rows() -> pa.Table:
    names = [scattered(n) for n in range(ROWS)]
    return pa.table({"id": names, "at": range(ROWS), "text": [name * 20 for name in names]})


async def test_a_row_is_found_with_the_columns_asked_for() -> None:
    store = Store(sorted_rows())
    assert await store.find(id=pa.scalar(4_321)) == [Found(4, {"at": "row 4321"})]


async def test_only_the_row_group_that_may_have_it_is_read() -> None:
    store = Store(sorted_rows())
    await store.find(id=pa.scalar(-1))
    footer = store.read
    await store.find(id=pa.scalar(4_321))
    assert store.read - 2 * footer < len(store.data) / 5


async def test_a_bloom_filter_spares_the_row_groups_that_have_it_not() -> None:
    rows = scattered_rows()
    plain = Store(rows)
    filtered = Store(rows, bloom_filter_options={"id": {"ndv": GROUP, "fpp": 0.01}})
    wanted = pa.scalar(scattered(5_678))
    assert await filtered.find(id=wanted) == await plain.find(id=wanted) == [Found(5, {"at": 5_678})]
    assert filtered.read - FIRST_READ_BYTES < (plain.read - FIRST_READ_BYTES) / 4


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.string()])
async def test_a_bloom_filter_never_hides_a_row(kind: pa.DataType) -> None:
    rows = pa.table({"id": pa.array([(n * 7919) % ROWS for n in range(ROWS)]).cast(kind), "at": range(ROWS)})
    store = Store(rows, bloom_filter_options={"id": {"ndv": GROUP, "fpp": 0.01}})
    for place in range(0, ROWS, 397):
        assert await store.find(id=rows["id"][place]) == [Found(place // GROUP, {"at": place})]


async def test_all_columns_of_a_composite_key_must_match() -> None:
    store = Store(pa.table({"id": [1, 1, 2], "region": ["eu", "us", "eu"], "at": [0, 1, 2]}))
    found = await store.find(id=pa.scalar(1), region=pa.scalar("eu"))
    assert found == [Found(0, {"at": 0})]


async def test_every_row_with_the_value_is_found() -> None:
    store = Store(pa.table({"id": [7] * 3, "at": [0, 1, 2]}))
    assert [row.values["at"] for row in await store.find(id=pa.scalar(7))] == [0, 1, 2]


async def test_an_object_of_a_narrower_type_is_searched_in_its_own() -> None:
    store = Store(pa.table({"id": pa.array([1, 2, 3], pa.int8()), "at": [0, 1, 2]}))
    assert await store.find(id=pa.scalar(2, pa.int64())) == [Found(0, {"at": 1})]
    assert await store.find(id=pa.scalar(1_000, pa.int64())) == []


async def test_no_row_has_a_value_in_a_column_that_the_object_lacks() -> None:
    assert await Store(sorted_rows()).find(region=pa.scalar("eu")) == []


async def test_a_column_asked_for_that_the_object_lacks_is_left_out() -> None:
    store = Store(sorted_rows())
    assert await store.find(["at", "more"], id=pa.scalar(5)) == [Found(0, {"at": "row 5"})]


async def test_a_footer_longer_than_the_first_read_is_read_whole() -> None:
    columns = {f"column_{n}": [n] for n in range(1_500)}
    store = Store(pa.table({"id": [1], "at": [2], **columns}))
    assert await store.find(id=pa.scalar(1)) == [Found(0, {"at": 2})]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100, b"\xff" * 8 + b"PAR1"])
async def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    store = Store(sorted_rows())
    store.data = data
    with pytest.raises(pa.ArrowInvalid):
        await store.find(id=pa.scalar(1))


NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([NOON, None, datetime(1, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        ([Decimal("1.50"), None, Decimal("-3.00")], pa.decimal128(38, 2)),
        ([True, None, False], pa.bool_()),
        ([1.5, None, -0.5], pa.float64()),
        (["é", None, ""], pa.string()),
    ],
)
async def test_values_of_every_kind_of_key_are_found(values: list[Any], kind: pa.DataType) -> None:
    column = pa.array(values, kind)
    store = Store(pa.table({"id": column, "at": range(len(values))}))
    for place, value in enumerate(column):
        if value.is_valid:
            assert await store.find(id=value) == [Found(0, {"at": place})]


@settings(max_examples=30)
@given(st.lists(st.text(max_size=4), min_size=1, max_size=50), st.text(max_size=4))
async def test_what_is_found_is_what_a_scan_finds(names: list[str], wanted: str) -> None:
    store = Store(
        pa.table({"id": names, "at": range(len(names))}), bloom_filter_options={"id": {"ndv": 50, "fpp": 0.1}}
    )
    found = [row.values["at"] for row in await store.find(id=pa.scalar(wanted))]
    assert found == [place for place, name in enumerate(names) if name == wanted]
