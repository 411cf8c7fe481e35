"""Profiles of a lake in memory: every figure against the values themselves."""

import io
import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.cli.profile import document, render
from console.cli.profile_page import page
from console.profile.lake import Profile, profile
from console.profile.sketch import KEPT, ColumnSketch
from shared.errors import PermanentError
from shared.storage.object_store import ObjectStore, open_memory

HOSTILE = "<script>alert('x')</script>\x1b[31m\n&"


async def a_lake(*runs: tuple[str, list[pa.Table]]) -> ObjectStore:
    lake = open_memory("lake")
    for run_id, tables in runs:
        uris = []
        for number, table in enumerate(tables):
            data = io.BytesIO()
            pq.write_table(table, data)
            key = f"things/year=2026/{run_id}-{number}.parquet"
            await lake.put(key, data.getvalue())
            uris.append({"uri": lake.uri(key)})
        listing = {"datasets": {"things": {"objects": uris}, "others": {"objects": []}}}
        await lake.put(f"_runs/{run_id}.json", json.dumps(listing).encode())
    return lake


async def test_an_object_of_several_runs_counts_once_and_for_each_run_with_its_rows() -> None:
    lake = open_memory("lake")
    data = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2, 3], "_run_id": ["a", "b", "b"]}), data)
    await lake.put("things/year=2026/c-1.parquet", data.getvalue())
    uri = lake.uri("things/year=2026/c-1.parquet")
    for run_id in ("a", "b"):
        entry = {"uri": uri, "where": {"_run_id": run_id}}
        listing = {"datasets": {"things": {"objects": [entry]}}}
        await lake.put(f"_runs/{run_id}.json", json.dumps(listing).encode())
    found = {run_id: await profile(lake, "things", run_id) for run_id in (None, "a", "b")}
    assert {run_id: one.rows for run_id, one in found.items()} == {None: 3, "a": 1, "b": 2}


async def described(*tables: pa.Table) -> dict[str, dict[str, Any]]:
    found = document(await profile(await a_lake(("run-1", list(tables))), "things", None))
    return {column["name"]: column for column in found["columns"]}


def sketch_of(values: pl.Series, parts: int = 1) -> ColumnSketch:
    """Of equal parts of the values, merged."""
    sketches = []
    for number in range(parts):
        part = values[number::parts]
        sketch = ColumnSketch("x", "x")
        sketch.add(part, pl.int_range(len(part), eager=True).hash(number))
        sketches.append(sketch)
    for other in sketches[1:]:
        sketches[0].merge(other)
    return sketches[0]


async def test_every_figure_of_few_rows_is_exact() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "number": pa.array([*range(100), None], pa.int64()),
            "ratio": pa.array([math.nan, math.inf, -1.5, *[0.5] * 98]),
            "text": pa.array(["b", "a", None, *["c"] * 98]),
            "when": pa.array(
                [start + timedelta(hours=hour) for hour in range(101)], pa.timestamp("us", "UTC")
            ),
            "day": pa.array([date(2026, 1, 1)] * 101),
            "flag": pa.array([True, *[False] * 100]),
            "price": pa.array([Decimal("0.10"), *[Decimal("9.99")] * 100], pa.decimal128(10, 2)),
            "_run_id": pa.array(["run-1"] * 101),
        }
    )
    found = await described(table)
    assert list(found) == ["number", "ratio", "text", "when", "day", "flag", "price"]
    number = found["number"]
    assert (number["rows"], number["nulls"], number["distinct"], number["min"], number["max"]) == (
        101,
        1,
        100,
        0,
        99,
    )
    assert number["quantiles"]["0.5"] == 50
    assert number["distinct_is_exact"]
    assert (found["ratio"]["min"], found["ratio"]["max"]) == (-1.5, "inf")
    assert (found["text"]["distinct"], found["text"]["min"], found["text"]["max"]) == (3, "a", "c")
    assert found["text"]["quantiles"] == {}
    assert found["when"]["quantiles"]["0.5"] == (start + timedelta(hours=50)).isoformat()
    assert found["day"]["min"] == found["day"]["max"] == "2026-01-01"
    assert found["flag"]["distinct"] == 2
    assert (found["price"]["min"], found["price"]["max"]) == ("0.10", "9.99")


@pytest.mark.parametrize("parts", [1, 7])
def test_many_values_are_estimated_closely_also_where_parts_are_merged(parts: int) -> None:
    numbers = list(range(200_000))
    random.Random(3).shuffle(numbers)  # noqa: S311 - not a secret
    found = sketch_of(pl.Series("x", numbers), parts)
    assert not found.distinct_is_exact
    distinct = found.distinct()
    assert distinct is not None
    assert abs(distinct - 200_000) < 0.06 * 200_000
    assert (found.rows, found.least, found.most) == (200_000, 0, 199_999)
    for share, value in found.quantiles().items():
        assert abs(value - share * 200_000) < 0.04 * 200_000


def test_what_is_kept_does_not_grow_with_the_values() -> None:
    found = sketch_of(pl.Series("x", ["x" * 100_000 + str(number) for number in range(2 * KEPT)][:5000]), 5)
    assert len(found.hashes) <= KEPT
    assert found.sample is not None
    assert len(found.sample) <= KEPT
    assert found.sample.estimated_size() < 2**21


async def test_a_column_that_older_files_lack_is_null_there() -> None:
    found = await described(pa.table({"a": [1, 2, 3]}), pa.table({"a": [4], "b": ["new"]}))
    assert (found["b"]["rows"], found["b"]["nulls"], found["b"]["distinct"]) == (4, 3, 1)
    assert found["a"]["nulls"] == 0


async def test_nested_values_and_bytes_are_shown_and_not_compared() -> None:
    found = await described(
        pa.table({"list": [[1, 2], None], "struct": [{"a": 1}, {"a": 2}], "raw": [b"\x00\xff", b"a"]})
    )
    assert (found["list"]["nulls"], found["list"]["distinct"], found["list"]["min"]) == (1, None, None)
    assert found["struct"]["distinct"] is None
    assert sorted(found["raw"]["examples"]) == ["00ff", "61"]


async def test_a_run_is_profiled_alone_and_a_run_that_is_not_listed_is_told() -> None:
    lake = await a_lake(("run-1", [pa.table({"a": [1]})]), ("run-2", [pa.table({"a": [2, 3]})]))
    assert (await profile(lake, "things", "run-2")).rows == 2
    assert (await profile(lake, "things", None)).rows == 3
    assert (await profile(lake, "others", None)).rows == 0
    with pytest.raises(PermanentError, match="no listing of run run-3"):
        await profile(lake, "things", "run-3")


async def test_no_text_of_the_data_is_obeyed_by_a_browser_or_a_terminal() -> None:
    table = pa.table({HOSTILE: [HOSTILE]})
    found = document(await profile(await a_lake(("run-1", [table])), "things", None))
    text = page(found)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    cells = [str(cell) for column in render(found).columns for cell in column.cells]
    assert not any("\x1b" in cell or "\n" in cell for cell in cells)


def test_a_column_without_rows_has_no_figures() -> None:
    found = Profile("things", None)
    found.add(pa.record_batch({"a": pa.array([], pa.int64())}), 1)
    (column,) = document(found)["columns"]
    assert (column["distinct"], column["min"], column["quantiles"], column["examples"]) == (0, None, {}, [])


async def test_a_column_that_changed_its_type_is_shown_for_each() -> None:
    found = document(
        await profile(await a_lake(("r", [pa.table({"a": [1]}), pa.table({"a": ["b"]})])), "things", None)
    )
    assert [(column["type"], column["rows"], column["nulls"]) for column in found["columns"]] == [
        ("int64", 2, 1),
        ("string", 2, 1),
    ]
