"""Events twice, crashes half-way, two crawlers at one batch: the same results."""

import pytest

from shared.bus.messages import Outgoing
from shared.events import ids, topics
from shared.events.models import BatchManifest
from shared.stages.results import Batches
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import POSTS, crawler_of, essence, only_batch
from tests.support.source import SourceServer


async def test_each_event_twice_gives_the_same_events_and_asks_the_source_once() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        request = {"run_id": "r", "datasets": ["posts"]}
        [plan_unit] = await crawler.ask(request)
        assert essence(await crawler.ask(request)) == essence([plan_unit])
        planned = await crawler.handle(plan_unit)
        asked = len(source.seen)
        assert essence(await crawler.handle(plan_unit)) == essence(planned)
        assert len(source.seen) == asked
        [batch_unit] = [event for event in planned if event.topic == topics.CRAWL_BATCH_REQUESTED]
        crawled = await crawler.handle(batch_unit)
        asked = len(source.seen)
        assert essence(await crawler.handle(batch_unit)) == essence(crawled)
        assert len(source.seen) == asked


async def test_a_dead_batch_that_comes_again_is_dead_again_without_a_request() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", faults.status(404), after=1)
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        source.heal()
        asked = len(source.seen)
        [unit] = [event for event in crawler.events if event.key == ids.batch_id("r", "posts", 0)][:1]
        again, sealed = await crawler.handle(unit)
        assert sealed.topic == topics.CRAWL_PLANNED
        assert (again.topic, again.event) == (topics.BATCH_FAILED, await only_batch(crawler))
        assert len(source.seen) == asked


async def test_a_source_that_changed_since_the_plan_was_stored_is_crawled_by_the_plan() -> None:
    async with (
        SourceServer({"posts": POSTS[:50]}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        before = await crawler.handle(plan_unit)
        source.collections = {"posts": POSTS}
        assert essence(await crawler.handle(plan_unit)) == essence(before)


async def test_of_two_crawlers_that_finish_a_batch_the_first_wins() -> None:
    async with (
        SourceServer({"posts": POSTS[:50]}) as source,
        crawler_of(source.url, allow=source.allow) as first,
    ):
        [plan_unit] = await first.ask({"run_id": "r", "datasets": ["posts"]})
        *_, unit = await first.handle(plan_unit)
        async with crawler_of(source.url, allow=source.allow, staging=first.staging) as second:
            committed = Batches.committed

            async def too_late(self: Batches, *identity: str) -> BatchManifest | None:
                assert await committed(self, *identity) is None
                winner, _ = await first.handle(unit)
                source.collections = {"posts": POSTS[:40]}
                winners.append(winner)
                return None

            winners: list[Outgoing] = []
            with pytest.MonkeyPatch.context() as patch:
                service = second.handlers.service  # to be paused between its look and its commit
                patch.setattr(service._batches, "committed", too_late.__get__(service._batches))  # noqa: SLF001
                result, _ = await second.handle(unit)
                assert [result] == winners


async def test_a_crash_between_artifact_and_manifest_leaves_nothing_that_counts() -> None:
    """The files are there, the manifest is not: the batch is crawled again, and its files have the same names."""
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        before = await only_batch(crawler)
        await crawler.staging.delete(keys.manifest_key("r", "posts", "crawler", before.batch_id))
        [unit] = [event for event in crawler.events if event.topic == topics.CRAWL_BATCH_REQUESTED][1:]
        again, _ = await crawler.handle(unit)
        assert isinstance(again.event, BatchManifest)
        assert again.event.artifacts[0] == before.artifacts[0]
