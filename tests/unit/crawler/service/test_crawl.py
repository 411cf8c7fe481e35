"""What a batch is made of, and what goes wrong at its source."""

from typing import Any

import pytest

from shared.events import topics
from shared.reasons import Reason
from tests.support import source as faults
from tests.support.crawler import PAGES, POSTS, STORIES, crawler_of, dataset_of, only_batch, things
from tests.support.source import SourceServer


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


async def test_one_answer_may_have_everything_under_a_path() -> None:
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


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (faults.status(503), 503, "the source answers HTTP 503 Service Unavailable (tried 5 times)"),
        (faults.status(404), 404, "the source answers HTTP 404 Not Found"),
        (
            faults.html(),
            200,
            "not JSON: the answer is a web page: Sorry, we are down for maintenance (tried twice",
        ),
        (faults.truncated(), None, "the answer broke off (tried 5 times)"),
        (faults.close(), None, "the connection was closed (tried 5 times)"),
        (
            faults.body(b'{"error": "try later"}'),
            200,
            "the source answers with an error: try later (tried twice",
        ),
        (faults.bomb(), None, "the answer inflates to more than 100 times its size"),
        (
            faults.redirect("http://169.254.169.254/"),
            None,
            "redirected to http://169.254.169.254/: 169.254.1",
        ),
    ],
)
async def test_a_page_that_finally_fails_is_missing_and_makes_no_row_up(
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
        assert await crawler.rows(manifest) == [*POSTS[:100], *POSTS[200:]]
        assert manifest.counts.model_dump(exclude_defaults=True) == {
            "read": 150,
            "accepted": 150,
        }
        [missing] = manifest.missing
        assert missing.url == f"{source.url}/posts?_page=2&_limit=100"
        assert missing.reason.startswith(f"page 2 is missing: {detail}")
        entry = (await crawler.requests(manifest))[1]
        assert (entry["place"], entry["rows"], entry["reason"], entry["status"]) == (100, 0, "fetch", status)
        assert entry["detail"].startswith(detail)


async def test_a_page_that_fails_four_times_is_not_a_failure() -> None:
    async with (
        SourceServer({"posts": POSTS}) as source,
        crawler_of(source.url, allow=source.allow) as crawler,
    ):
        source.fail("/posts", faults.status(500), times=4)
        source.fail("/posts?_page=2&_limit=100", faults.html(), times=1)
        source.fail("/posts?_page=2&_limit=100", faults.status(202), times=3)
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
        assert [event.topic for event in crawler.events][-2:] == [topics.BATCH_FAILED, topics.CRAWL_PLANNED]
        assert (manifest.status, manifest.reason) == ("dead", Reason.FETCH)
        assert (
            manifest.detail
            == "every request failed (3); the last: the source answers HTTP 503 Service Unavailable (tried 5 times)"
        )
        assert manifest.counts.model_dump(exclude_defaults=True) == {}
        assert [page.reason for page in manifest.missing] == [
            f"page {n} is missing: the source answers HTTP 503 Service Unavailable (tried 5 times)"
            for n in (1, 2, 3)
        ]
        assert [artifact.format for artifact in manifest.artifacts] == ["requests.jsonl.zst"]
        assert len(await crawler.requests(manifest)) == 3
        assert len(crawler.dead_letters) == 1


async def test_a_batch_gives_up_on_a_source_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.crawler.sources.batch_fetcher.PATIENCE_S", 0.0)
    async with SourceServer({"things": things(1000)}) as source:
        datasets = {"things": dataset_of(source.url, {**PAGES, "size": 1}, concurrency=1)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            source.fail("/things", faults.status(503), after=3)
            await crawler.run({"datasets": ["things"]})
            manifest = await only_batch(crawler)
            assert manifest.status == "done"
            assert (manifest.counts.accepted, len(manifest.missing)) == (2, 998)
            assert manifest.missing[-1].reason.endswith("requests in a row had failed before")
            assert len(source.seen) <= 1 + 2 + (5 + 1) * 5, "one more may be on its way when the fifth fails"
