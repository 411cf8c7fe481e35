"""Runs of one dataset at the same time, each with other data: per key the run that was asked for later wins."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.test_whole_way import assert_row_accounting, new_run
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = pytest.mark.e2e

SHARED = 60
OWN_ID = 500_000


class Changing:
    """A source that gives other data with each request: the shared keys with another title, and a key of its own."""

    def __init__(self) -> None:
        self._versions = itertools.count(1)
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, _: web.Request) -> web.StreamResponse:
        version = next(self._versions)
        if not self.go_on.is_set():
            self.waiting.set()
            await self.go_on.wait()
        ids = [*range(1, SHARED + 1 - version % 7), OWN_ID + version]
        rows = [{"userId": version, "id": key, "title": f"version {version}"} for key in ids]
        headers = {"X-Total-Count": str(len(rows))}
        return web.Response(body=json.dumps(rows).encode(), content_type="application/json", headers=headers)


@pytest.fixture
async def changing(source: SourceServer, pipeline: Pipeline) -> AsyncIterator[Changing]:
    await pipeline.fetch("DELETE FROM onpoint_albums")
    change = Changing()
    # Page 1 only: every run takes one version when it plans, and another when it crawls.
    source.fail("/albums", change)
    yield change
    change.go_on.set()
    source.heal()
    await pipeline.fetch("DELETE FROM onpoint_albums")


async def assert_the_later_requested_won(
    pipeline: Pipeline, ended: dict[str, dict[str, Any]], expected_rows: int | None = None
) -> None:
    in_order = sorted(ended.values(), key=lambda done: (done["requested_at"], done["run_id"]))
    expected: dict[Any, tuple[Any, ...]] = {}
    for done in in_order:
        summary = done["datasets"]["albums"]
        assert (done["status"], done["reason"]) == ("succeeded", None)
        assert_row_accounting(summary)
        own = pipeline.lake_rows(done["run_id"], "albums")
        # Its listing has its own rows: one version, whole.
        assert len(own) == summary["rows_stored"] == summary["rows_accepted"]
        assert len({row[1] for row in own}) == 1
        expected |= {row[0]: row for row in own}
    stored = {row[0]: row for row in await pipeline.rows("albums")}
    assert stored == expected
    assert len(stored) >= (expected_rows or 0)


@pytest.mark.parametrize("runs", [2, 10])
async def test_runs_at_once_end_well_and_the_later_requested_one_wins_each_key(
    pipeline: Pipeline, changing: Changing, runs: int
) -> None:
    assert changing.go_on.is_set()
    run_ids = [new_run() for _ in range(runs)]
    async with pipeline.completions() as completions:
        for run_id in run_ids:
            await pipeline.request({"run_id": run_id, "datasets": ["albums"]})
        ended = await completions.all(set(run_ids), 90)
    await assert_the_later_requested_won(pipeline, ended, SHARED - 7 + runs)


async def test_the_later_requested_one_wins_though_the_earlier_one_ends_after_it(
    pipeline: Pipeline, changing: Changing
) -> None:
    async with pipeline.completions() as completions:
        while True:  # until the two plans lie in partitions of different workers
            early, late = new_run(), new_run()
            changing.waiting.clear()
            changing.go_on.clear()
            await pipeline.request({"run_id": early, "datasets": ["albums"]})
            await asyncio.wait_for(changing.waiting.wait(), 30)
            early_goes_on, changing.go_on = changing.go_on, asyncio.Event()
            changing.go_on.set()
            await pipeline.request({"run_id": late, "datasets": ["albums"]})
            try:
                done = await completions.of(late, 10)
            except TimeoutError:
                early_goes_on.set()
                await completions.all({early, late}, 60)
                await pipeline.fetch("DELETE FROM onpoint_albums")
                continue
            break
        assert early not in {value["run_id"] for value in completions.seen}
        early_goes_on.set()
        ended = {late: done, early: await completions.of(early, 60)}
    assert ended[early]["requested_at"] < ended[late]["requested_at"]
    assert ended[early]["finished_at"] > ended[late]["finished_at"]
    assert ended[early]["datasets"]["albums"]["rows_superseded"] >= SHARED - 7
    assert ended[late]["datasets"]["albums"]["rows_superseded"] == 0
    await assert_the_later_requested_won(pipeline, ended)
