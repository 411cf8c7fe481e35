"""A backup of a pipeline at work, restored into new servers: what was there is equal, what was on its way arrives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.support import backup
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.restore, pytest.mark.timeout(500)]

FINISHED, UNFINISHED, MEANWHILE, LATER = "finished", "unfinished", "meanwhile", "later"
"""Runs by their end: before the backup, not at all, between the dump and the copy of the buckets, asked for after it."""

DATASETS = ("posts", "comments")
PAGE = 4
FEW_BATCHES = 3
SLOW_S, NEARLY_STILL_S = 0.1, 5.0
"""Answers of the source: a hundred pages of photos, one after the other, outlast the backup."""


@dataclass(frozen=True)
class Rehearsal:
    before: dict[str, Any]
    """What was there when the backup began: rows, listing and objects of the finished run."""
    restored: Pipeline
    asked_after: list[str]
    """What the source was asked for by the restored pipeline."""


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.2)


async def are_on_their_way(pipeline: Pipeline) -> bool:
    """All of one run is processed, and some of the other."""
    rows = await pipeline.fetch(
        "SELECT run_id, batches_planned AS planned, batches_done AS done FROM onpoint_runs.v_progress "
        "WHERE stage = 'processor'"
    )
    done = {row["run_id"]: (row["done"], row["planned"]) for row in rows}
    users, photos = done.get(MEANWHILE, (0, None)), done.get(UNFINISHED, (0, None))
    return bool(users[0] == users[1] and photos[0] >= FEW_BATCHES)


async def have_ended(pipeline: Pipeline, *run_ids: str) -> bool:
    rows = await pipeline.fetch(
        "SELECT run_id FROM onpoint_runs.v_runs WHERE run_id = ANY($1) AND status = 'succeeded'", run_ids
    )
    return len(rows) == len(run_ids)


async def content(pipeline: Pipeline, run_id: str) -> dict[str, Any]:
    return {
        "listing": pipeline.listing(run_id),
        "ledger": [
            tuple(row)
            for row in await pipeline.fetch(
                "SELECT run_id, status, requested_at, finished_at, completed::text FROM onpoint_runs.v_runs "
                "WHERE run_id = $1",
                run_id,
            )
        ],
        **{
            dataset: [
                [tuple(row) for row in await pipeline.fetch(f"TABLE onpoint_{dataset} ORDER BY id")],
                pipeline.lake_rows(run_id, dataset),
            ]
            for dataset in DATASETS
        },
    }


async def lose(stack: LocalStack, pipeline: Pipeline, source: SourceServer, folder: Path) -> dict[str, Any]:
    """Works, backs up in the middle of it, goes on, and ends with all servers and their data removed."""
    await pipeline.run({"run_id": FINISHED, "datasets": list(DATASETS)})
    before = await content(pipeline, FINISHED)
    source.delay_s = SLOW_S
    # Its batches come to different stages: the source is slow, and nothing is loaded.
    await asyncio.to_thread(stack.stop, "loader")
    await pipeline.request({"run_id": MEANWHILE, "datasets": ["users"]})
    await pipeline.request({"run_id": UNFINISHED, "datasets": ["photos"]})
    await eventually(lambda: are_on_their_way(pipeline))
    source.delay_s = NEARLY_STILL_S
    await asyncio.to_thread(backup.dump, pipeline, folder)
    await asyncio.to_thread(stack.start, "loader")
    await eventually(lambda: have_ended(pipeline, MEANWHILE))
    await asyncio.to_thread(backup.fetch_buckets, pipeline, folder)
    await pipeline.request({"run_id": LATER, "datasets": ["albums"]})
    await asyncio.to_thread(stack.down, wipe=True)
    return before


@pytest.fixture(scope="module")
async def rehearsal(
    test_data: TestData, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("backup")
    async with SourceServer(test_data.records) as source:
        extra = {
            "ONPOINT_LOCAL_POSTGRES_VERSION": backup.postgres_version(),
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_CRAWL_BATCH_ROWS": str(PAGE),
            "ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE": str(PAGE),
            "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": source.url,
            "ONPOINT_SOURCE_JSONPLACEHOLDER_CONCURRENCY": "1",
            "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
        }
        lost = LocalStack(tmp_path_factory.mktemp("lost"), extra_env=extra)
        await asyncio.to_thread(lost.up)
        try:
            before = await lose(lost, Pipeline(lost.environment()), source, folder)
        finally:
            await asyncio.to_thread(lost.down, wipe=True)
        source.delay_s = 0
        asked = len(source.seen)

        home = tmp_path_factory.mktemp("restored")
        servers = LocalStack(home, services=(), extra_env=extra)
        await asyncio.to_thread(servers.up)
        empty = Pipeline(servers.environment())
        await asyncio.to_thread(backup.restore, empty, folder)
        published = await Operator(servers.environment()).run("topics", "restore", "--json")
        assert published.code == 0, published.err
        await asyncio.to_thread(servers.down)
        stack = LocalStack(home, extra_env=extra)
        await asyncio.to_thread(stack.up)
        try:
            pipeline = Pipeline(stack.environment())
            await eventually(lambda: have_ended(pipeline, UNFINISHED, MEANWHILE), within_s=150)
            yield Rehearsal(before, pipeline, source.targets()[asked:])
        finally:
            await asyncio.to_thread(stack.down, wipe=True)


async def test_what_had_ended_is_equal(rehearsal: Rehearsal) -> None:
    assert await content(rehearsal.restored, FINISHED) == rehearsal.before


async def test_the_unfinished_run_goes_on_and_asks_for_what_it_lacks(
    rehearsal: Rehearsal, test_data: TestData
) -> None:
    expected = test_data.expected("photos")
    assert await rehearsal.restored.rows("photos") == expected
    assert rehearsal.restored.lake_rows(UNFINISHED, "photos") == expected
    asked = [target for target in rehearsal.asked_after if target.startswith("/photos")]
    assert 0 < len(asked) < len(expected) // PAGE


async def test_a_run_that_the_dump_knows_less_of_than_the_buckets_is_loaded_from_staging(
    rehearsal: Rehearsal, test_data: TestData
) -> None:
    assert await rehearsal.restored.rows("users") == test_data.expected("users")
    assert rehearsal.restored.lake_rows(MEANWHILE, "users") == test_data.expected("users")
    assert not [target for target in rehearsal.asked_after if target.startswith("/users")]


async def test_a_run_that_was_asked_for_later_is_lost(rehearsal: Rehearsal) -> None:
    assert await rehearsal.restored.fetch("SELECT FROM onpoint_runs.v_runs WHERE run_id = $1", LATER) == []


async def test_nothing_is_wrong_afterwards_and_nothing_is_left_to_publish(rehearsal: Rehearsal) -> None:
    operator = Operator(rehearsal.restored.environment)
    checked = await operator.run("verify")
    assert checked.code == 0, checked.out
    again = await operator.run("topics", "restore", "--dry-run", "--json")
    assert again.json() == {
        "completions": [],
        "unfinished": [],
        "too_old": [],
        "never_accepted": [],
        "dead_letter_actions": 0,
    }
