"""Runs that are cancelled."""

import asyncio

import pytest

from shared.reasons import Reason
from shared.storage import keys
from tests.support.crawler import POSTS, crawler_of, things
from tests.support.source import SourceServer


async def test_a_cancelled_run_is_neither_planned_nor_crawled() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [unplanned] = await crawler.ask({"run_id": "a", "datasets": ["posts"]})
        [planning] = await crawler.ask({"run_id": "b", "datasets": ["posts"]})
        planned = await crawler.handle(planning)
        asked = len(source.seen)
        for run_id in ("a", "b"):
            await crawler.staging.put(keys.cancel_key(run_id), b"")
        await crawler.drive([*planned, unplanned])
        assert [(m.run_id, m.status, m.reason) for m in crawler.batches] == [
            ("b", "dead", Reason.CANCELLED),
            ("a", "dead", Reason.CANCELLED),
        ]
        assert [(p.run_id, p.batches) for p in crawler.planned] == [("b", 1), ("a", 1)]
        assert len(source.seen) == asked


async def test_a_batch_that_is_being_crawled_ends_soon_after_its_run_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.crawler.sources.batch_fetcher.CANCEL_LOOK_S", 0.01)
    async with (
        SourceServer({"stories": things(1000)}, delay_s=0.005) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        crawling = asyncio.create_task(crawler.run({"run_id": "r1", "datasets": ["stories"]}))
        while len(source.seen) < 50 and not crawling.done():
            await asyncio.sleep(0.005)
        await crawler.staging.put(keys.cancel_key("r1"), b"{}")
        await crawling
        assert len(source.seen) < 900
        [dead] = crawler.batches
        assert (dead.status, dead.reason) == ("dead", Reason.CANCELLED)
        assert dead.counts.read == dead.counts.rejected == 1000
