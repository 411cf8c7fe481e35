"""A compaction that is killed, doubled, overtaken or kept from its sources: what the next call makes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import TransientError
from shared.lake.repository import CompactionRepository
from shared.storage.errors import StorageUnavailableError
from tests.support.crash_points import COMPACTION
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT

pytestmark = pytest.mark.integration

DAY = timedelta(hours=25)


class CrashedError(BaseException):
    """Stands for kill -9: nothing after it runs, nothing catches it."""


def crash_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def reach(name: str) -> None:
        if name == point:
            raise CrashedError

    monkeypatch.setattr("shared.crashpoints.reach", reach)


async def assert_same_rows(lake: Lake, before: Any) -> None:
    assert (await lake.read_runs()).equals(before)
    assert (await lake.read_dataset()).equals(before)


@pytest.mark.parametrize("point", COMPACTION)
@pytest.mark.parametrize("latest", [False, True], ids=["all", "latest"])
async def test_the_next_call_finishes_what_one_that_was_killed_began(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str, latest: bool
) -> None:
    await lake.many(3)
    before = await lake.read_runs()
    crash_at(monkeypatch, f"lake.{point}")
    with pytest.raises(CrashedError):
        await lake.compact(latest=latest)
    monkeypatch.undo()
    await assert_same_rows(lake, before)
    await lake.compact(latest=latest)
    await lake.catch_up()
    assert await lake.states() == ["listed"]
    await assert_same_rows(lake, before)
    assert len((await lake.dataset_listing())["objects"]) == 1
    await lake.sweep(DAY)
    assert len(await lake.objects()) == 1
    await assert_same_rows(lake, before)


async def test_a_reader_has_the_same_rows_at_every_moment(lake: Lake) -> None:
    await lake.many(4)
    before = await lake.read_runs()

    async def read() -> None:
        while not compacting.done():
            await assert_same_rows(lake, before)

    async def compact() -> None:
        await lake.compact()
        await lake.catch_up()

    compacting = asyncio.create_task(compact())
    await read()
    await compacting
    await assert_same_rows(lake, before)


async def test_of_two_at_once_one_compacts(lake: Lake) -> None:
    await lake.many(4)
    before = await lake.read_runs()
    reports = await asyncio.gather(lake.compact(), lake.compact())
    assert sorted(len(report.compactions) for report in reports) == [0, 1]
    await lake.catch_up()
    await assert_same_rows(lake, before)


async def test_two_that_do_not_see_each_other_do_no_harm(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock only saves work: here each believes that it has it."""

    @asynccontextmanager
    async def unlocked(_: CompactionRepository, __: str) -> AsyncIterator[bool]:
        yield True

    monkeypatch.setattr(CompactionRepository, "locked", unlocked)
    await lake.many(6)
    before = await lake.read_runs()
    await asyncio.gather(*(lake.compact() for _ in range(3)))
    await lake.compact()
    await lake.catch_up()
    await assert_same_rows(lake, before)
    assert len((await lake.dataset_listing())["objects"]) == 1
    await lake.sweep(DAY)
    assert len(await lake.objects()) == 1


async def test_a_run_that_ends_meanwhile_is_compacted_with_what_is_there_by_then(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.many(3)
    crash_at(monkeypatch, "lake.written")
    with pytest.raises(CrashedError):
        await lake.compact()
    monkeypatch.undo()
    await lake.run("run-late", [{"id": 900 + n, "title": "late"} for n in range(5)])
    before = await lake.read_runs()
    await lake.compact()
    await lake.catch_up()
    [entry] = (await lake.dataset_listing())["objects"]
    assert entry["runs"] == {"run-00": 10, "run-01": 10, "run-02": 10, "run-late": 5}
    await assert_same_rows(lake, before)


async def test_objects_of_a_run_that_goes_on_are_left(lake: Lake) -> None:
    await lake.many(2)
    await lake.store("open", [{"id": 900, "title": "open"}])
    report = await lake.compact()
    assert [len(one["sources"]) for one in report.compactions] == [2]
    await lake.end("open", 1)
    await lake.catch_up()
    assert (await lake.read_runs()).num_rows == 21


async def test_a_run_that_is_being_replayed_stays_in_the_listing_of_its_dataset(lake: Lake) -> None:
    await lake.many(2)
    await lake.pool.execute(
        "INSERT INTO onpoint_runs.runs (run_id, requested_at, started_at, request, replay_of) "
        "VALUES ('replay', now(), now(), '{}', 'run-00')"
    )
    await lake.pool.execute("SELECT onpoint_lake.mark_changed(ARRAY['posts'])")
    await lake.catch_up()
    assert (await lake.read_dataset()).num_rows == 20


@pytest.mark.parametrize("damage", ["missing", "flipped"])
@pytest.mark.parametrize("latest", [False, True], ids=["all", "latest"])
async def test_a_source_that_is_gone_or_altered_is_named_and_nothing_goes(
    lake: Lake, damage: str, latest: bool
) -> None:
    await lake.many(3)
    keys = await lake.objects()
    if damage == "missing":
        await lake.lake.delete(keys[0])
    else:
        content = bytearray(await lake.lake.get(keys[0]) or b"")
        content[20] ^= 1
        await lake.lake.put(keys[0], bytes(content))
    left = await lake.objects()
    report = await lake.compact(latest=latest)
    assert report.compactions == []
    [problem] = report.problems
    assert lake.lake.uri(keys[0]) in problem
    assert (await lake.states(), await lake.objects()) == ([], left)


async def test_an_outage_of_the_store_leaves_a_plan_that_the_next_call_makes_anew(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.many(3)
    before = await lake.read_runs()

    async def refuse(*_: Any) -> None:
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(lake.lake, "put", refuse)
    with pytest.raises(TransientError):
        await lake.compact()
    monkeypatch.undo()
    assert await lake.states() == ["planned"]
    await lake.compact()
    await lake.catch_up()
    await assert_same_rows(lake, before)


async def test_a_call_that_is_cancelled_gives_its_sources_free(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.many(3)
    started = asyncio.Event()

    async def never(*_: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(lake.lake, "put", never)
    compacting = asyncio.create_task(lake.compact())
    await started.wait()
    compacting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await compacting
    assert await lake.states() == []


async def test_an_older_put_of_a_paused_process_cannot_change_an_object_that_counts(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes the same bytes under the same name, or another name."""
    await lake.many(3)
    puts: list[tuple[str, bytes]] = []
    put = lake.lake.put

    async def kept(key: str, data: Any) -> None:
        if key.startswith("posts/"):
            puts.append((key, data.read_bytes()))
        await put(key, data)

    monkeypatch.setattr(lake.lake, "put", kept)
    await lake.compact()
    await lake.catch_up()
    before = await lake.read_runs()
    [(key, content)] = puts
    await put(key, content)
    await assert_same_rows(lake, before)


async def test_what_a_replay_brings_again_is_told_by_the_listing(lake: Lake) -> None:
    """The rows of both runs are there; the listing names the run that is superseded."""
    await lake.run("first", [{"id": n, "title": "x"} for n in range(5)])
    await lake.run("again", [{"id": n, "title": "x"} for n in range(5)], requested_at=REQUESTED_AT + DAY)
    await lake.pool.execute(
        "UPDATE onpoint_runs.runs SET superseded_by = 'again', listing_changes = listing_changes + 1 "
        "WHERE run_id = 'first'"
    )
    await lake.catch_up()
    await lake.catch_up()
    assert (await lake.dataset_listing())["superseded"] == {"first": "again"}
