"""What a source is asked for, and what there is where it gives no plan."""

import pytest

from services.crawler.domain import plans
from shared.events.models import IdWork, PageWork
from shared.reasons import Reason
from tests.support import source as faults
from tests.support.crawler import PAGES, POSTS, STORIES, crawler_of, dataset_of, only_batch, things
from tests.support.source import SourceServer


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 249, 250, 251, 10**12])
async def test_a_limit_takes_the_first_records_of_pages(limit: int) -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"datasets": ["posts"], "parameters": {"posts": {"limit": limit}}})
        assert await crawler.rows(await only_batch(crawler)) == POSTS[:limit]
        assert crawler.planned[0].rows == min(limit, 250)


@pytest.mark.parametrize("limit", [1, 19, 20, 500])
async def test_a_limit_takes_the_first_ids(limit: int) -> None:
    async with (
        SourceServer({"stories": STORIES}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"datasets": ["stories"], "parameters": {"stories": {"limit": limit}}})
        assert await crawler.rows(await only_batch(crawler)) == STORIES[:limit]


@pytest.mark.parametrize("dataset", ["posts", "stories"])
async def test_a_limit_of_zero_asks_the_source_nothing(dataset: str) -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        await crawler.run({"datasets": [dataset], "parameters": {dataset: {"limit": 0}}})
        assert (crawler.planned[0].batches, crawler.planned[0].rows, crawler.batches) == (0, 0, [])
        assert source.seen == []


@pytest.mark.parametrize("dataset", ["posts", "stories"])
async def test_an_empty_source_makes_no_batch(dataset: str) -> None:
    async with (
        SourceServer({"posts": [], "stories": []}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"datasets": [dataset]})
        assert (crawler.planned[0].batches, crawler.planned[0].rows) == (0, 0)


async def test_many_batches_cover_the_source() -> None:
    async with SourceServer({"things": things(234)}) as source:
        datasets = {"things": dataset_of(source.url, PAGES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets, batch_rows=50) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            assert crawler.planned[0].batches == 5
            assert [m.sequence for m in crawler.batches] == [0, 1, 2, 3, 4]
            assert [m.first_position for m in crawler.batches] == [0, 50, 100, 150, 200]
            assert [unit.work for unit in crawler.units[1:]][-1] == PageWork(first_page=21, pages=4)
            assert [row for m in crawler.batches for row in await crawler.rows(m)] == things(234)


async def test_ids_that_are_listed_twice_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "BATCH_REQUESTS", 4)
    async with (
        SourceServer({"stories": STORIES}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        listed = [story["id"] for story in STORIES[:10]]
        source.fail("/v0/topstories.json", faults.records(listed + listed[::-1]))
        await crawler.run({"datasets": ["stories"]})
        assert [row for m in crawler.batches for row in await crawler.rows(m)] == STORIES[:10]
        assert [unit.work for unit in crawler.units[1:]] == [
            IdWork(start=0, stop=4),
            IdWork(start=4, stop=8),
            IdWork(start=8, stop=10),
        ]
        assert len(source.seen) == 11


@pytest.mark.parametrize(("dataset", "path"), [("posts", "/posts"), ("stories", "/v0/topstories.json")])
async def test_a_source_that_gives_no_plan_is_a_dead_batch_of_a_run_that_ends(
    dataset: str, path: str
) -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail(path, faults.status(500))
        await crawler.run({"run_id": "r", "datasets": [dataset]})
        assert [(planned.batches, planned.rows) for planned in crawler.planned] == [(1, None)]
        manifest = await only_batch(crawler)
        assert (manifest.status, manifest.reason) == ("dead", Reason.FETCH)
        assert (
            manifest.detail
            == "there is no plan: the source answers HTTP 500 Internal Server Error (tried 5 times)"
        )
        assert manifest.counts.model_dump(exclude_defaults=True) == {}
        [missing] = manifest.missing
        assert missing.url.startswith(f"{source.url}{path}")
        assert len(source.seen) == 5, "the batch does not ask again"


async def test_a_list_of_what_are_not_ids_makes_no_plan() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/v0/topstories.json", faults.records([1, None]))
        await crawler.run({"datasets": ["stories"]})
        assert "a JSON array of integers and texts is expected" in ((await only_batch(crawler)).detail or "")


async def test_a_total_beyond_belief_makes_no_plan() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/posts", faults.records(POSTS[:100], X_Total_Count="9" * 18))
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert manifest.reason is Reason.TOO_LARGE
        assert "requests would be needed" in (manifest.detail or "")


async def test_a_private_source_that_is_not_allowed_gets_no_request() -> None:
    async with SourceServer({"posts": POSTS}) as source, crawler_of(source.url, allow="") as crawler:
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert manifest.detail == (
            f"there is no plan: 127.0.0.1:{source.port} is a private address: to crawl it, add "
            f"127.0.0.1:{source.port} to ONPOINT_CRAWL_ALLOW_HOSTS and restart the crawler, which reads it at its start"
        )
        assert source.seen == []
