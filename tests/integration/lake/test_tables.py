"""Compaction, sweep and listings of a dataset with a table format: the table names what the listings name."""

import asyncio
import sys
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared.lake.tables.errors import TableUnavailableError
from shared.lake.tables.members import TableMembers
from shared.lake.tables.open import DRIVERS
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from tests.support.crash_points import COMPACTION
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT, a_dataset
from tests.support.tables import FORMATS, TableReader

pytestmark = [pytest.mark.integration, pytest.mark.long]

DAY = timedelta(hours=25)
PLAIN = a_dataset({"id": "int64", "title": "string"}, key=["id"], name="posts")


class CrashedError(BaseException):
    """Stands for kill -9: nothing after it runs, nothing catches it."""


def crash_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def reach(name: str) -> None:
        if name == point:
            raise CrashedError

    monkeypatch.setattr("shared.crashpoints.reach", reach)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def lake(pool: asyncpg.Pool, storage: ObjectStoreSettings, reader: TableReader, kind: str) -> Lake:
    staging, bucket = (open_s3(storage, name) for name in (storage.staging_bucket, storage.lake_bucket))
    for store in (staging, bucket):
        for key in [info.key async for info in store.list("")]:
            await store.delete(key)
    own = PLAIN.model_copy(update={"lake": PLAIN.lake.model_copy(update={"table": kind})})
    found = Lake(pool, staging, bucket, tables=reader.tables)
    found.use(own)
    return found


@pytest.fixture
def reader(storage: ObjectStoreSettings, postgres_dsn: str) -> TableReader:
    return TableReader(storage, open_s3(storage, storage.lake_bucket), postgres_dsn)


def rows(reader: TableReader, kind: str) -> list[tuple[Any, ...]]:
    found = reader.by_polars(kind, "posts").select("_run_id", "_source_position", "id", "title")
    return sorted(found.rows())


async def assert_is_what_counts(lake: Lake, reader: TableReader, kind: str) -> None:
    """The files of the table are those of the dataset's listing."""
    table = reader.tables.named(kind, "posts")  # type: ignore[arg-type]
    state = await asyncio.to_thread(table.state)
    assert state is not None
    assert state.files == {entry["uri"] for entry in (await lake.dataset_listing())["objects"]}


async def test_a_compaction_is_one_commit_that_changes_no_row(
    lake: Lake, reader: TableReader, kind: str
) -> None:
    await lake.many(4)
    before = rows(reader, kind)
    assert len(before) == 40
    report = await lake.compact()
    assert report.problems == []
    await lake.catch_up()
    assert reader.commits(kind, "posts") == 5
    assert rows(reader, kind) == before
    await assert_is_what_counts(lake, reader, kind)
    assert len((await lake.dataset_listing())["objects"]) == 1
    await lake.sweep(DAY)
    assert rows(reader, kind) == before
    assert await lake.states() == ["listed"]


@pytest.mark.parametrize("point", [*COMPACTION[:-1], "tabled"])
@pytest.mark.parametrize("latest", [False, True], ids=["all", "latest"])
async def test_a_compaction_that_was_killed_is_in_the_table_once(
    lake: Lake, reader: TableReader, kind: str, monkeypatch: pytest.MonkeyPatch, point: str, latest: bool
) -> None:
    await lake.many(3)
    before = rows(reader, kind)
    crash_at(monkeypatch, f"lake.{point}")
    with pytest.raises(CrashedError):
        await lake.compact(latest=latest)
    monkeypatch.undo()
    assert rows(reader, kind) == before
    await lake.compact(latest=latest)
    await lake.catch_up()
    assert rows(reader, kind) == before
    assert reader.commits(kind, "posts") == 4
    await assert_is_what_counts(lake, reader, kind)
    await lake.sweep(DAY)
    assert rows(reader, kind) == before


async def test_latest_leaves_one_row_of_each_key_in_the_table(
    lake: Lake, reader: TableReader, kind: str
) -> None:
    for number in range(3):
        row = {"id": 1, "title": f"title {number}"}
        await lake.run(f"run-{number}", [row], requested_at=REQUESTED_AT + timedelta(seconds=number))
    assert len(rows(reader, kind)) == 3
    await lake.compact(latest=True)
    await lake.catch_up()
    assert rows(reader, kind) == [("run-2", 0, 1, "title 2")]
    await assert_is_what_counts(lake, reader, kind)


async def test_objects_from_before_the_table_never_get_into_it(
    lake: Lake, reader: TableReader, kind: str
) -> None:
    own = lake.dataset
    lake.use(PLAIN)
    for number in range(2):
        await lake.run(f"plain-{number}", [{"id": number, "title": "plain"}])
    lake.use(own)
    for number in range(2):
        await lake.run(f"table-{number}", [{"id": 10 + number, "title": "table"}])
    await lake.compact()
    await lake.catch_up()
    assert {row[0] for row in rows(reader, kind)} == {"table-0", "table-1"}
    assert len((await lake.dataset_listing())["objects"]) == 2


async def test_a_file_that_another_program_took_out_of_the_table_stays_out(
    lake: Lake, reader: TableReader, kind: str
) -> None:
    await lake.many(3)
    listing = await lake.dataset_listing()
    if kind == "delta":
        reader.delta("posts").delete("_run_id = 'run-00'")
    else:
        reader.catalog.load_table(("onpoint", "posts")).delete("_run_id = 'run-00'")
    report = await lake.compact()
    assert report.problems == []
    await lake.catch_up()
    assert {row[0] for row in rows(reader, kind)} == {"run-01", "run-02"}
    assert len(listing["objects"]) == 3


async def test_a_table_that_is_away_keeps_the_compaction_for_the_next_call(
    lake: Lake, reader: TableReader, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.many(3)
    before = rows(reader, kind)

    async def away(*_: object, **__: object) -> None:
        raise TableUnavailableError("posts: away")

    monkeypatch.setattr(TableMembers, "replace", away)
    with pytest.raises(TableUnavailableError):
        await lake.compact()
    assert await lake.states() == ["written"]
    monkeypatch.undo()
    await lake.compact()
    await lake.catch_up()
    assert rows(reader, kind) == before
    await assert_is_what_counts(lake, reader, kind)


async def test_a_table_without_its_driver_here_is_left_alone_with_a_sentence(
    lake: Lake, reader: TableReader, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.many(2)
    before = rows(reader, kind)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, DRIVERS[kind], None)  # type: ignore[index]
        report = await lake.compact()
    assert report.compactions == []
    [problem] = report.problems
    assert "is not installed" in problem
    assert rows(reader, kind) == before
