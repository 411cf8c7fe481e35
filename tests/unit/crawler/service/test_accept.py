"""What becomes of a request: a run, a refused run, or the run that it asks for again."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import BatchManifest, CrawlRequest
from shared.storage import keys
from tests.support.crawler import APPENDED_AT, APPENDED_MS, POSTS, STORIES, crawler_of, only_batch
from tests.support.source import SourceServer, hang


async def test_a_run_of_pages_gives_every_record_once_and_in_order() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"run_id": "r1", "datasets": ["posts"]})
        [planned] = crawler.planned
        assert (planned.dataset, planned.batches, planned.rows) == ("posts", 1, 250)
        assert planned.request.datasets == ("posts",)
        manifest = await only_batch(crawler)
        assert manifest.batch_id == ids.batch_id("r1", "posts", 0)
        assert (manifest.stage, manifest.status, manifest.missing, manifest.next) == (
            "crawler",
            "done",
            (),
            None,
        )
        assert manifest.counts.model_dump(exclude_defaults=True) == {"read": 250, "accepted": 250}
        assert (manifest.requested_at, manifest.first_position) == (APPENDED_AT, 0)
        assert [artifact.format for artifact in manifest.artifacts] == ["jsonl.zst", "requests.jsonl.zst"]
        assert await crawler.rows(manifest) == POSTS
        log = await crawler.requests(manifest)
        assert [(entry["place"], entry["rows"], entry["status"]) for entry in log] == [
            (0, 100, 200),
            (100, 100, 200),
            (200, 50, 200),
        ]
        assert log[2]["url"] == f"{source.url}/posts?_page=3&_limit=100"
        assert all(entry["reason"] is entry["detail"] is None for entry in log)
        assert all(datetime.fromisoformat(entry["fetched_at"]).tzinfo is not None for entry in log)
        assert all(entry["tries"] == 1 and entry["took_ms"] >= 0 and entry["bytes"] > 1000 for entry in log)


async def test_a_run_of_ids_gives_an_item_per_id() -> None:
    async with (
        SourceServer({"stories": STORIES}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"datasets": ["stories"]})
        manifest = await only_batch(crawler)
        assert await crawler.rows(manifest) == STORIES
        assert manifest.run_id == ids.run_id_of_record(topics.CRAWL_REQUESTED, 0, 1, APPENDED_MS, APPENDED_AT)
        assert crawler.planned[0].rows == 20


async def test_each_dataset_of_a_run_is_planned_alone() -> None:
    async with (
        SourceServer({"posts": POSTS[:5], "users": POSTS[:3]}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        units = await crawler.ask({"run_id": "r", "datasets": ["users", "posts", "users"]})
        assert [(unit.topic, unit.key) for unit in units] == [
            (topics.CRAWL_BATCH_REQUESTED, ids.plan_unit_id("r", "users")),
            (topics.CRAWL_BATCH_REQUESTED, ids.plan_unit_id("r", "posts")),
        ]
        await crawler.drive(units)
        assert {planned.dataset: planned.rows for planned in crawler.planned} == {"users": 3, "posts": 5}


async def test_a_request_is_accepted_without_a_question_to_its_source() -> None:
    """However long the source takes: the plan is a unit of its own, beside other batches."""
    async with (
        SourceServer({"posts": POSTS[:5]}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", hang())
        async with asyncio.timeout(30):
            [unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        assert unit.key == ids.plan_unit_id("r", "posts")
        assert source.seen == []


async def test_what_is_not_an_object_goes_to_the_dead_letters() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        for value in (b"", b"{", b"[]", b"null", b'"posts"', b"\xff"):
            with pytest.raises(PermanentError):
                await crawler.ask(value)


@pytest.mark.parametrize(
    "bad", [{}, {"datasets": []}, {"datasets": ["potss"]}, {"datasets": ["posts"], "formats": ["docx"]}]
)
async def test_a_bad_request_ends_its_run_at_once(bad: dict[str, Any]) -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        await crawler.run({"run_id": "bad", **bad})
        [event] = crawler.events
        assert (event.topic, event.key) == (topics.CRAWL_PLANNED, "bad")
        [planned] = crawler.planned
        assert (planned.dataset, planned.batches) == (None, 0)
        stored = await crawler.staging.get(keys.request_key("bad"))
        assert stored is not None
        assert CrawlRequest.model_validate_json(stored) == planned.request
        assert planned.request.refused


async def test_a_bad_run_id_gives_a_run_that_names_it() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        await crawler.run({"run_id": "../../etc", "datasets": ["posts"]})
        [planned] = crawler.planned
        assert planned.run_id.startswith("r-20261124T")
        assert "'../../etc'" in (planned.request.refused or "")


async def test_the_first_request_of_a_run_counts() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"run_id": "r", "datasets": ["posts"], "parameters": {"posts": {"limit": 3}}})
        first = list(crawler.events)
        for other in ({"datasets": ["users", "posts"]}, {"datasets": ["nonsense"]}, {"datasets": ["posts"]}):
            crawler.events.clear()
            await crawler.run({"run_id": "r", **other})
            assert [(event.topic, event.key) for event in crawler.events] == [(e.topic, e.key) for e in first]
            assert crawler.batches == [
                event.event for event in first if isinstance(event.event, BatchManifest)
            ]
        assert len(source.seen) == 2


async def test_a_rejected_run_stays_rejected() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        await crawler.run({"run_id": "r", "datasets": ["nonsense"]})
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        assert [planned.request.refused is not None for planned in crawler.planned] == [True, True]
        assert crawler.units == []
