"""What compaction makes of files: columns that come and go, types that change, a full disk, no rows."""

import errno
import io
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from shared.datasets.model import Dataset
from shared.errors import TransientError
from shared.parquet.writer import RowGroupWriter
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT, a_dataset

pytestmark = pytest.mark.integration

GAINED = a_dataset({"id": "int64", "title": "string", "extra": "float64"}, key=["id"], name="posts")
CHANGED = a_dataset({"id": "int64", "title": "int64"}, key=["id"], name="posts")
HOUR = timedelta(hours=1)


async def run_of(lake: Lake, dataset: Dataset, run_id: str, rows: list[dict[str, Any]]) -> None:
    """A run that was frozen with the dataset."""
    lake.use(dataset)
    await lake.run(run_id, rows, requested_at=REQUESTED_AT + timedelta(seconds=len(lake.runs)))


async def test_a_column_that_only_some_files_have_is_null_in_the_rows_of_the_others(lake: Lake) -> None:
    for number in range(3):
        plain, gained = {"id": number, "title": "a"}, {"id": number + 10, "title": "b", "extra": 0.5}
        await run_of(lake, lake.posts, f"plain-{number}", [plain])
        await run_of(lake, GAINED, f"gained-{number}", [gained])
    report = await lake.compact()
    await lake.catch_up()
    assert [len(one["sources"]) for one in report.compactions] == [6]
    rows = (await lake.read_dataset()).to_pylist()
    assert {(row["id"], row["title"], row["extra"]) for row in rows} == {
        *((number, "a", None) for number in range(3)),
        *((number + 10, "b", 0.5) for number in range(3)),
    }
    [key] = [key for key in await lake.objects() if "/c-" in key]
    schema = pq.read_schema(io.BytesIO(await lake.lake.get(key) or b""))
    assert schema.names == [
        "id",
        "title",
        "extra",
        "_run_id",
        "_batch_id",
        "_requested_at",
        "_source_position",
    ]
    assert not schema.field("id").nullable


async def test_files_of_which_a_column_changed_its_type_become_one_for_each_type(lake: Lake) -> None:
    for number in range(2):
        await run_of(lake, lake.posts, f"text-{number}", [{"id": number, "title": "a"}])
        await run_of(lake, CHANGED, f"number-{number}", [{"id": number + 10, "title": 5}])
    report = await lake.compact()
    await lake.catch_up()
    assert report.problems == []
    assert [len(one["sources"]) for one in report.compactions] == [2, 2]
    assert await lake.states() == ["listed", "listed"]
    for run_id in lake.runs:
        [entry] = await lake.listing(run_id)
        [row] = (await lake.read([entry])).to_pylist()
        assert row["title"] == ("a" if run_id.startswith("text") else 5)


async def test_a_full_disk_is_an_outage_and_leaves_nothing_behind(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    await lake.many(3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RowGroupWriter, "append", full)
    with pytest.raises(TransientError, match="No space left"):
        await lake.compact()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    report = await lake.compact()
    assert len(report.compactions) == 1


async def test_a_folder_of_which_every_row_is_superseded_keeps_an_object_without_rows(lake: Lake) -> None:
    rows = [{"id": n, "title": "x"} for n in range(5)]
    await lake.run("old", rows)
    await lake.run("new", rows, requested_at=REQUESTED_AT + HOUR)
    await lake.compact(latest=True)
    await lake.catch_up()
    assert [entry["rows"] for entry in await lake.listing("old")] == [0]
    assert (await lake.read_runs()).num_rows == 5
    report = await lake.compact(latest=True)
    assert (report.compactions, report.problems) == ([], [])


async def test_compacted_and_reduced_in_any_order_the_newest_rows_are_left(lake: Lake) -> None:
    for number in range(6):
        rows = [{"id": n, "title": f"run {number}"} for n in range(number, number + 4)]
        await lake.run(f"run-{number}", rows, requested_at=REQUESTED_AT + (number % 3) * HOUR)
        await lake.compact(latest=number % 2 == 1)
    await lake.compact(latest=True)
    await lake.catch_up()
    order = sorted(range(6), key=lambda number: (number % 3, number))
    newest = {n: f"run {number}" for number in order for n in range(number, number + 4)}
    rows = (await lake.read_dataset()).to_pylist()
    assert ({row["id"]: row["title"] for row in rows}, len(rows)) == (newest, len(newest))
