"""The crawler from a request to its batches, against a source over loopback and a store in memory."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from services.crawler.domain import plans
from shared.batches.batches import Batches
from shared.bus.record import Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import (
    BatchManifest,
    BatchUnreadable,
    CrawlBatchRequested,
    CrawlRequest,
    IdWork,
    PageWork,
    PlanWork,
)
from shared.events.reasons import Reason
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import APPENDED_AT, APPENDED_MS, PAGES, Crawler, crawler_of, dataset_of
from tests.support.source import SourceServer

POSTS = [{"userId": 1, "id": n, "title": f"title {n}", "body": "a\nb"} for n in range(1, 251)]
STORIES = [{"id": 1000 + n, "type": "story", "title": f"story {n}"} for n in range(20)]


def things(count: int) -> list[dict[str, int]]:
    return [{"id": n} for n in range(count)]


async def only_batch(crawler: Crawler) -> BatchManifest:
    [manifest] = crawler.batches
    return manifest


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


async def test_what_is_no_object_goes_to_the_dead_letters() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        for value in (b"", b"{", b"[]", b"null", b'"posts"', b"\xff"):
            with pytest.raises(PermanentError):
                await crawler.ask(value)


@pytest.mark.parametrize(
    "bad", [{}, {"datasets": []}, {"datasets": ["potss"]}, {"datasets": ["posts"], "formats": ["xlsx"]}]
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


async def test_a_bad_run_id_gives_a_run_that_says_so() -> None:
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


async def test_a_refused_run_stays_refused() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        await crawler.run({"run_id": "r", "datasets": ["nonsense"]})
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        assert [planned.request.refused is not None for planned in crawler.planned] == [True, True]
        assert crawler.units == []


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
async def test_an_empty_source_is_no_batch(dataset: str) -> None:
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


async def test_a_source_with_smaller_pages_than_asked_for_is_not_cut_short() -> None:
    async with (
        SourceServer({"posts": POSTS}, max_page=40) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        await crawler.run({"datasets": ["posts"]})
        assert await crawler.rows(await only_batch(crawler)) == POSTS


async def test_a_source_that_ignores_the_page_size_is_read_once() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/posts", faults.records(POSTS, X_Total_Count="250"))
        await crawler.run({"datasets": ["posts"]})
        assert await crawler.rows(await only_batch(crawler)) == POSTS


async def test_one_answer_may_hold_everything_under_a_path() -> None:
    async with SourceServer() as source:
        datasets = {"things": dataset_of(source.url, {"kind": "none"}, records_path=["data", "items"])}
        source.fail("/things", faults.records({"data": {"items": things(7)}}))  # type: ignore[arg-type]  # an object on purpose
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            assert (crawler.planned[0].batches, crawler.planned[0].rows) == (1, None)
            assert await crawler.rows(await only_batch(crawler)) == things(7)
            crawler.events.clear()
            await crawler.run({"datasets": ["things"], "parameters": {"things": {"limit": 2}}})
            assert await crawler.rows(await only_batch(crawler)) == things(2)


async def test_an_empty_answer_is_a_batch_without_rows() -> None:
    async with SourceServer({"things": []}) as source:
        datasets = {"things": dataset_of(source.url, {"kind": "none"})}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            manifest = await only_batch(crawler)
            assert manifest.counts.read == 0
            assert await crawler.rows(manifest) == []


# --- what goes wrong at the source ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (faults.status(503), 503, "503 after 5 tries"),
        (faults.status(404), 404, "404"),
        (faults.html(), 200, "not JSON: JSON is malformed: invalid character (byte 0) after 5 tries"),
        (faults.truncated(), None, "the answer broke off after 5 tries"),
        (faults.close(), None, "the connection was closed after 5 tries"),
        (faults.null(), 200, "not a page of records: Expected `array`, got `null` after 5 tries"),
        (faults.bomb(), None, "the answer inflates to more than 100 times its size"),
        (faults.redirect("http://169.254.169.254/"), None, "169.254.169.254:80 is a private address;"),
    ],
)
async def test_a_page_that_finally_fails_is_one_rejected_row_and_missing(
    fault: faults.Fault, status: int | None, detail: str
) -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts?_page=2&_limit=100", fault)
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert manifest.status == "done"
        assert await crawler.rows(manifest) == [*POSTS[:100], None, *POSTS[200:]]
        assert manifest.counts.model_dump(exclude_defaults=True) == {
            "read": 151,
            "accepted": 150,
            "rejected": 1,
        }
        [missing] = manifest.missing
        assert missing.url == f"{source.url}/posts?_page=2&_limit=100"
        assert missing.reason.startswith(detail)
        entry = (await crawler.requests(manifest))[1]
        assert (entry["place"], entry["rows"], entry["reason"], entry["status"]) == (100, 1, "fetch", status)
        assert entry["detail"].startswith(detail)


async def test_a_page_that_fails_four_times_is_no_failure() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", faults.status(500), times=4)
        source.fail("/posts?_page=2&_limit=100", faults.html(), times=4)
        await crawler.run({"datasets": ["posts"]})
        assert await crawler.rows(await only_batch(crawler)) == POSTS


async def test_items_that_fail_or_are_null_are_rejected_rows_and_not_missing() -> None:
    async with (
        SourceServer({"stories": STORIES}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/v0/item/1003.json", faults.status(404))
        source.fail("/v0/item/1005.json", faults.null())
        source.fail("/v0/item/1007.json", faults.body(b"[1]"))
        await crawler.run({"datasets": ["stories"]})
        manifest = await only_batch(crawler)
        expected: list[Any] = list(STORIES)
        expected[3], expected[5], expected[7] = None, None, [1]
        assert await crawler.rows(manifest) == expected
        assert manifest.counts.model_dump(exclude_defaults=True) == {
            "read": 20,
            "accepted": 18,
            "rejected": 2,
        }
        assert manifest.missing == ()
        log = await crawler.requests(manifest)
        assert [entry["reason"] for entry in log if entry["reason"]] == ["fetch", "empty"]
        assert (log[5]["status"], log[5]["place"], log[5]["rows"]) == (200, 5, 1)


async def test_items_that_are_all_null_are_a_batch_all_the_same() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/v0/topstories.json", faults.records([1, 2, 3]))
        await crawler.run({"datasets": ["stories"]})
        manifest = await only_batch(crawler)
        assert (manifest.status, manifest.counts.rejected) == ("done", 3)


async def test_one_bad_record_does_not_cost_its_page() -> None:
    async with (
        SourceServer({"posts": POSTS[:3]}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        page = b'[{"id":1},{"id":2,"title":"\\ud800"},{"id":3,"title":"\xff"},{"id":NaN}]'
        source.fail("/posts", faults.body(page, X_Total_Count="4"))
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert b"[" + b",".join(await crawler.lines(manifest.artifacts[0])) + b"]" == page


async def test_a_batch_of_which_every_request_failed_is_dead() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", faults.status(503), after=1)
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert [event.topic for event in crawler.events][-1] == topics.BATCH_FAILED
        assert (manifest.status, manifest.reason) == ("dead", Reason.FETCH)
        assert manifest.detail == "every request failed (3); the last: 503 after 5 tries"
        assert manifest.counts.model_dump(exclude_defaults=True) == {"read": 3, "rejected": 3}
        assert [page.reason for page in manifest.missing] == ["503 after 5 tries"] * 3
        assert [artifact.format for artifact in manifest.artifacts] == ["requests.jsonl.zst"]
        assert len(await crawler.requests(manifest)) == 3
        assert len(crawler.dead_letters) == 1


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
        assert manifest.detail == "there is no plan: 500 after 5 tries"
        assert manifest.counts.model_dump(exclude_defaults=True) == {"read": 1, "rejected": 1}
        [missing] = manifest.missing
        assert missing.url.startswith(f"{source.url}{path}")
        assert len(source.seen) == 5, "the batch does not ask again"


async def test_ids_that_are_no_ids_are_no_plan() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/v0/topstories.json", faults.records([1, None]))
        await crawler.run({"datasets": ["stories"]})
        assert "a JSON array of integers and texts is expected" in ((await only_batch(crawler)).detail or "")


async def test_a_total_beyond_belief_is_no_plan() -> None:
    async with SourceServer() as source, crawler_of(source.url, allow=source.allow) as crawler:
        source.fail("/posts", faults.records(POSTS[:100], X_Total_Count="9" * 18))
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert manifest.reason is Reason.TOO_LARGE
        assert "requests would be needed" in (manifest.detail or "")


async def test_a_private_source_that_nobody_allowed_is_not_asked() -> None:
    async with SourceServer({"posts": POSTS}) as source, crawler_of(source.url, allow="") as crawler:
        await crawler.run({"datasets": ["posts"]})
        manifest = await only_batch(crawler)
        assert manifest.detail == (
            f"there is no plan: 127.0.0.1:{source.port} is a private address; "
            "ONPOINT_CRAWL_ALLOW_HOSTS does not name it"
        )
        assert source.seen == []


async def test_a_batch_gives_up_on_a_source_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.crawler.crawling.PATIENCE_S", 0.0)
    async with SourceServer({"things": things(1000)}) as source:
        datasets = {"things": dataset_of(source.url, {**PAGES, "size": 1}, concurrency=1)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            source.fail("/things", faults.status(503), after=3)
            await crawler.run({"datasets": ["things"]})
            manifest = await only_batch(crawler)
            assert manifest.status == "done"
            assert (manifest.counts.accepted, manifest.counts.rejected) == (2, 998)
            assert manifest.missing[-1].reason.endswith("requests in a row had failed before")
            assert len(source.seen) <= 1 + 2 + (5 + 1) * 5, "one more may be on its way when the fifth fails"


# --- events twice, crashes half-way, records that are wrong ------------------------------------------------------


def essence(events: list[Outgoing]) -> list[tuple[str, str, Any]]:
    """What an event says, without the moment it was made."""
    return [(e.topic, e.key, e.event.model_dump(exclude={"produced_at"})) for e in events]


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
        assert await crawler.handle(batch_unit) == crawled
        assert len(source.seen) == asked


async def test_a_dead_batch_that_comes_again_is_dead_again_and_asks_nobody() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", faults.status(404), after=1)
        await crawler.run({"run_id": "r", "datasets": ["posts"]})
        source.heal()
        asked = len(source.seen)
        [unit] = [event for event in crawler.events if event.key == ids.batch_id("r", "posts", 0)][:1]
        [again] = await crawler.handle(unit)
        assert (again.topic, again.event) == (topics.BATCH_FAILED, await only_batch(crawler))
        assert len(source.seen) == asked


async def test_a_source_that_changed_since_the_plan_was_frozen_is_crawled_by_the_plan() -> None:
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
                [winner] = await first.handle(unit)
                source.collections = {"posts": POSTS[:40]}
                winners.append(winner)
                return None

            winners: list[Outgoing] = []
            with pytest.MonkeyPatch.context() as patch:
                service = second.handlers.service  # to be paused between its look and its commit
                patch.setattr(service._batches, "committed", too_late.__get__(service._batches))  # noqa: SLF001
                assert await second.handle(unit) == winners


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
        [again] = await crawler.handle(unit)
        assert isinstance(again.event, BatchManifest)
        assert again.event.artifacts[0] == before.artifacts[0]


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


def unit_record(**changes: Any) -> Record:
    unit = {
        "run_id": "r",
        "dataset": "posts",
        "batch_id": ids.batch_id("r", "posts", 0),
        "sequence": 0,
        "requested_at": "2026-11-24T06:00:00Z",
        "work": {"kind": "pages", "first_page": 1, "pages": 3},
        **changes,
    }
    key = changes.pop("key", unit["batch_id"])
    unit.pop("key", None)
    return Record(
        topics.CRAWL_BATCH_REQUESTED, 0, 0, APPENDED_MS, str(key).encode(), json.dumps(unit).encode()
    )


WRONG = [
    unit_record(batch_id="0" * 32),
    unit_record(key="0" * 32),
    unit_record(work={"kind": "nonsense"}),
    unit_record(work={"kind": "pages", "first_page": 0, "pages": 1}),
    unit_record(version=2),
    unit_record(extra=1),
    unit_record(work={"kind": "plan"}),
    unit_record(run_id="../x"),
]


@pytest.mark.parametrize("record", WRONG, ids=range(len(WRONG)))
async def test_a_unit_that_cannot_be_believed_is_reported_by_its_key(record: Record) -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(record)
        burial = await crawler.handlers.bury(record, caught.value)
        assert burial.dead
        [failed] = burial.announce
        assert isinstance(failed.event, BatchUnreadable)
        assert failed.key == record.key_text


@pytest.mark.parametrize(
    "work",
    [
        {"kind": "pages", "first_page": 1, "pages": 2},
        {"kind": "pages", "first_page": 2, "pages": 3},
        {"kind": "ids", "start": 0, "stop": 3},
        {"kind": "cursor", "url": "http://169.254.169.254/", "first_position": 0},
    ],
)
async def test_work_that_is_not_the_plans_is_refused(work: dict[str, Any]) -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        await crawler.handle(plan_unit)
        with pytest.raises(PermanentError, match="not what this record asks for") as caught:
            await crawler.handlers.on_batch_requested(unit_record(work=work))
        assert caught.value.reason is Reason.SCHEMA
        assert len(source.seen) == 1


async def test_a_batch_without_a_plan_is_dead() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(unit_record())
        assert caught.value.reason is Reason.OBJECT_MISSING
        burial = await crawler.handlers.bury(unit_record(), caught.value)
        [failed] = burial.announce
        assert isinstance(failed.event, BatchManifest)
        assert (failed.event.status, failed.event.counts.read) == ("dead", 3)


async def test_a_plan_unit_that_cannot_be_handled_still_ends_its_run() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        burial = await crawler.handlers.bury(
            crawler.record(plan_unit), PermanentError(Reason.HANDLER, "a bug \x00 \udcff")
        )
        assert burial.dead
        await crawler.drive(list(burial.announce))
        manifest = await only_batch(crawler)
        assert (crawler.planned[0].batches, manifest.status, manifest.reason) == (1, "dead", Reason.HANDLER)
        assert source.seen == []


async def test_a_plan_that_was_made_is_not_buried() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["posts"]})
        planned = await crawler.handle(plan_unit)
        burial = await crawler.handlers.bury(
            crawler.record(plan_unit), PermanentError(Reason.HANDLER, "a bug")
        )
        assert not burial.dead
        assert essence(list(burial.announce)) == essence(planned)


async def test_a_plan_unit_of_a_run_that_was_swept_is_a_dead_letter_alone() -> None:
    async with crawler_of("http://127.0.0.1:1", allow="") as crawler:
        unit = CrawlBatchRequested(
            run_id="r",
            dataset="posts",
            batch_id=ids.plan_unit_id("r", "posts"),
            sequence=0,
            requested_at=APPENDED_AT,
            work=PlanWork(),
        )
        record = crawler.record(Outgoing(topics.CRAWL_BATCH_REQUESTED, unit.batch_id, unit))
        with pytest.raises(PermanentError) as caught:
            await crawler.handlers.on_batch_requested(record)
        burial = await crawler.handlers.bury(record, caught.value)
        assert (burial.dead, burial.announce) == (True, ())


async def test_a_batch_that_is_being_crawled_ends_soon_after_its_run_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.crawler.crawling.CANCEL_LOOK_S", 0.01)
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
