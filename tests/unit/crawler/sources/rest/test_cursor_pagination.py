"""Sources that tell only page by page where to go on: the cursor lives in the manifests, so a chain survives crashes."""

from typing import Any

import pytest

from services.crawler.domain import plans
from shared.events import ids, topics
from shared.events.models import BatchManifest, CursorWork
from shared.reasons import Reason
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, things
from tests.support.source import SourceServer


async def crawled(
    source: SourceServer,
    limit: int | None = None,
    pagination: dict[str, Any] = PAGES,
    batch_rows: int = 50_000,
) -> Crawler:
    datasets = {"things": dataset_of(source.url, pagination)}
    async with crawler_of(
        source.url, allow=source.allow, datasets=datasets, batch_rows=batch_rows
    ) as crawler:
        parameters = {} if limit is None else {"things": {"limit": limit}}
        await crawler.run({"run_id": "r", "datasets": ["things"], "parameters": parameters})
        return crawler


async def all_rows(crawler: Crawler) -> list[Any]:
    return [row for manifest in crawler.batches for row in await crawler.rows(manifest)]


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 57])
@pytest.mark.parametrize("links", [True, False])
async def test_without_a_total_the_pages_are_followed_to_their_end(count: int, links: bool) -> None:
    async with SourceServer({"things": things(count)}, total_header=None, links=links) as source:
        crawler = await crawled(source)
        assert await all_rows(crawler) == things(count)
        [planned] = crawler.planned
        assert (planned.batches, planned.rows, planned.dataset) == (1, None, "things")
        assert crawler.events[-1].topic == topics.CRAWL_PLANNED, "sealed at its end"
        assert crawler.batches[0].missing == ()


@pytest.mark.parametrize("total", ["", "many", "-5", "1.5", "9" * 19, "٣", "2"])
async def test_an_impossible_total_is_ignored(total: str) -> None:
    async with SourceServer({"things": things(25)}) as source:
        source.fail(
            "/things?_page=1&_limit=10",
            faults.records(things(10), X_Total_Count=total, Link="<?_page=2&_limit=10>;rel=next"),
        )
        assert await all_rows(await crawled(source)) == things(25)


async def test_a_source_may_be_declared_without_totals() -> None:
    async with SourceServer({"things": things(25)}) as source:
        pagination = {**PAGES, "total_header": None}
        assert await all_rows(await crawled(source, pagination=pagination)) == things(25)


async def test_smaller_pages_than_asked_for_do_not_end_a_chain() -> None:
    async with SourceServer({"things": things(25)}, total_header=None, links=False, max_page=4) as source:
        assert await all_rows(await crawled(source)) == things(25)


async def test_an_empty_source_is_one_batch_without_rows() -> None:
    async with SourceServer({"things": []}, total_header=None) as source:
        crawler = await crawled(source)
        assert await all_rows(crawler) == []
        assert crawler.planned[0].batches == 1


@pytest.mark.parametrize("limit", [1, 9, 10, 11, 25, 26])
@pytest.mark.parametrize("batch_rows", [10, 50_000])
async def test_a_limit_ends_a_chain(limit: int, batch_rows: int) -> None:
    async with SourceServer({"things": things(25)}, total_header=None) as source:
        crawler = await crawled(source, limit, batch_rows=batch_rows)
        assert await all_rows(crawler) == things(25)[:limit]
        assert crawler.planned[0].batches == len(crawler.batches)


@pytest.mark.parametrize(("rows", "requests"), [(20, 1000), (50_000, 2)])
async def test_a_long_chain_is_many_batches_each_naming_the_next(
    rows: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "BATCH_REQUESTS", requests)
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        crawler = await crawled(source, batch_rows=rows)
        assert [m.first_position for m in crawler.batches] == [0, 20, 40]
        assert [m.batch_id for m in crawler.batches] == [ids.batch_id("r", "things", n) for n in range(3)]
        following = crawler.batches[0].next
        assert following is not None
        assert following.url == f"{source.url}/things?_page=3&_limit=10"
        assert (following.first_position, following.pages, following.promised) == (20, 2, None)
        assert crawler.batches[2].next is None
        assert await all_rows(crawler) == things(57)
        assert [planned.batches for planned in crawler.planned] == [3]


async def test_each_batch_twice_gives_the_same_events_and_asks_the_source_once() -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        datasets = {"things": dataset_of(source.url, PAGES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets, batch_rows=20) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            asked = len(source.seen)
            for event in [event for event in crawler.events if event.topic == topics.CRAWL_BATCH_REQUESTED][
                1:
            ]:
                again = await crawler.handle(event)
                known = [(known.topic, known.key) for known in crawler.events]
                assert all((event.topic, event.key) in known for event in again)
                assert len(again) == 2
            assert len(source.seen) == asked


async def test_a_page_that_finally_fails_ends_the_chain() -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        source.fail("/things?_page=3&_limit=10", faults.status(500))
        crawler = await crawled(source)
        [manifest] = crawler.batches
        assert await crawler.rows(manifest) == things(20)
        assert [(page.url, page.reason) for page in manifest.missing] == [
            (
                f"{source.url}/things?_page=3&_limit=10",
                "page 3 and all after it are missing: the source answers HTTP 500 Internal Server Error (tried 5 times)",
            )
        ]
        assert (manifest.status, manifest.next, crawler.planned[0].batches) == ("done", None, 1)


@pytest.mark.parametrize("batch", [0, 1])
async def test_a_batch_whose_first_page_fails_is_dead_and_ends_the_chain(batch: int) -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        source.fail(f"/things?_page={1 + 2 * batch}&_limit=10", faults.status(404), after=1 - batch)
        crawler = await crawled(source, batch_rows=20)
        assert [m.status for m in crawler.batches] == ["done"] * batch + ["dead"]
        dead = crawler.batches[-1]
        assert (dead.reason, dead.counts.read, dead.counts.rejected, len(dead.missing)) == (
            Reason.FETCH,
            0,
            0,
            1,
        )
        assert dead.first_position == 20 * batch
        assert [planned.batches for planned in crawler.planned] == [batch + 1]


@pytest.mark.parametrize(
    ("link", "detail"),
    [
        ("<http://169.254.169.254/x>", "the next page is not at http://127.0.0.1:"),
        ("<//evil.example/x>", "the next page is not at http://127.0.0.1:"),
        ("<https://127.0.0.1/x>", "the next page is not at http://127.0.0.1:"),
        ("<file:///etc/passwd>", "the next page is not at http://127.0.0.1:"),
        ("<http://127.0.0.1:99999/>", "the next page's URL is not valid: "),
        ("<//[::1]@>", "the next page's URL is not valid: "),
        ("</" + "x" * 5000 + ">", "the next page's URL has 5"),
        ("<?_page=1&_limit=10>", "the chain of pages leads back to where it was"),
        ("<?_page=2&_limit=10>", "the chain of pages leads back to where it was"),
    ],
)
async def test_a_cursor_that_leads_astray_is_a_failed_page_and_ends_the_chain(link: str, detail: str) -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        source.fail("/things?_page=2&_limit=10", faults.records(things(20)[10:], Link=f"{link}; rel=next"))
        crawler = await crawled(source)
        [manifest] = crawler.batches
        assert await crawler.rows(manifest) == things(20)
        [missing] = manifest.missing
        assert " and all after it are missing: " + detail in missing.reason
        assert manifest.next is None


@pytest.mark.parametrize("last", [10, 7])
async def test_pages_that_links_led_to_end_where_none_names_a_next(last: int) -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        source.fail("/things?_page=1&_limit=10", faults.records(things(10), Link="</things?at=x>; rel=next"))
        source.fail("/things?at=x", faults.records(things(10 + last)[10:]))
        crawler = await crawled(source)
        [manifest] = crawler.batches
        assert await crawler.rows(manifest) == things(10 + last)
        assert manifest.missing == ()


async def test_a_source_that_sends_its_last_page_for_ever_is_found_out() -> None:
    async with SourceServer({"things": things(10)}, total_header=None, links=False) as source:
        source.fail("/things", faults.records(things(10)))
        crawler = await crawled(source)
        [manifest] = crawler.batches
        assert await crawler.rows(manifest) == things(10)
        assert manifest.missing[0].reason.startswith("the page is the same as one before")


async def test_a_chain_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "BATCH_REQUESTS", 1)
    monkeypatch.setattr(plans, "MAX_CHAIN_BATCHES", 3)
    async with SourceServer({"things": things(1000)}, total_header=None) as source:
        crawler = await crawled(source)
        assert crawler.planned[0].batches == 3
        assert "no end within 3 batches" in crawler.batches[-1].missing[0].reason


async def test_a_chain_whose_batch_cannot_be_handled_is_sealed_with_it() -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source:
        datasets = {"things": dataset_of(source.url, PAGES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["things"]})
            [unit] = await crawler.handle(plan_unit)
            wrong = unit.event.model_copy(
                update={"work": CursorWork(url="http://169.254.169.254/", first_position=0)}
            )
            events = await crawler.handle(type(unit)(unit.topic, unit.key, wrong))
            assert [event.topic for event in events] == [topics.BATCH_FAILED, topics.CRAWL_PLANNED]
            assert isinstance(events[0].event, BatchManifest)
            assert events[0].event.reason is Reason.SCHEMA


async def test_a_unit_that_names_another_host_makes_no_request() -> None:
    async with SourceServer({"things": things(57)}, total_header=None) as source, SourceServer() as canary:
        datasets = {"things": dataset_of(source.url, PAGES)}
        allow = f"{source.allow},{canary.allow}"
        async with crawler_of(source.url, allow=allow, datasets=datasets) as crawler:
            [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["things"]})
            [unit] = await crawler.handle(plan_unit)
            forged = unit.event.model_copy(
                update={
                    "sequence": 1,
                    "batch_id": ids.batch_id("r", "things", 1),
                    "work": CursorWork(url=f"{canary.url}/things", first_position=10),
                }
            )
            events = await crawler.handle(type(unit)(unit.topic, ids.batch_id("r", "things", 1), forged))
            assert isinstance(events[0].event, BatchManifest)
            assert "the next page is not at" in (events[0].event.detail or "")
            assert canary.seen == []
