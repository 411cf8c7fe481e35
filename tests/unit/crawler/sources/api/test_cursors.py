"""A bearer token and cursors in the body: the first whole way of a source that writes its request."""

from typing import Any

from services.crawler.domain.fetching import RetryPolicy
from tests.support.api_datasets import TOKEN, api_dataset, cursor_dataset
from tests.support.api_server import ApiServer, Asked, cursor_pages, refused, with_bearer
from tests.support.crawler import Crawler, crawler_of, things

VARIABLES = {"SHOP_TOKEN": TOKEN}


async def ids_of(crawler: Crawler) -> list[int]:
    return [
        row["id"] for batch in crawler.batches if batch.status == "done" for row in await crawler.rows(batch)
    ]


async def test_pages_are_followed_by_their_cursor_to_the_end() -> None:
    async with ApiServer(with_bearer(TOKEN, cursor_pages(things(5), 2))) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=VARIABLES) as crawler:
            await crawler.run({"datasets": ["things"]})
            assert await ids_of(crawler) == [0, 1, 2, 3, 4]
            [planned] = crawler.planned
            assert planned.batches == 1
    assert api.targets() == ["/things?size=2", "/things?size=2&cursor=2", "/things?size=2&cursor=4"]


async def test_a_batch_ends_at_a_cursor_and_the_next_one_goes_on_there() -> None:
    async with ApiServer(with_bearer(TOKEN, cursor_pages(things(9), 2))) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, batch_rows=4
        ) as crawler:
            await crawler.run({"datasets": ["things"]})
            assert await ids_of(crawler) == list(range(9))
            assert [batch.first_position for batch in crawler.batches] == [0, 4, 8]
            assert crawler.planned[-1].batches == 3
    assert len(api.seen) == 5


async def test_a_wrong_token_ends_the_run_with_the_source_s_words_and_without_the_token() -> None:
    async with ApiServer(with_bearer("another", cursor_pages(things(5), 2))) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=VARIABLES) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert batch.status == "dead"
            assert "HTTP 401 Unauthorized" in (batch.detail or "")
            stored = [await crawler.staging.get(info.key) async for info in crawler.staging.list("")]
    assert len(api.seen) == 1
    assert TOKEN not in f"{crawler.events}"
    assert all(TOKEN.encode() not in (value or b"") for value in stored)


async def test_a_secret_that_is_not_there_is_named_by_its_place() -> None:
    async with ApiServer(cursor_pages(things(5), 2)) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert "the variable SHOP_TOKEN is not set" in (batch.detail or "")
    assert api.seen == []


async def test_a_cursor_that_names_itself_ends_the_chain_and_is_missing() -> None:
    async with ApiServer(lambda _: {"data": things(2), "has_more": True, "next": "again"}) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=VARIABLES) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert await ids_of(crawler) == [0, 1]
            assert len(batch.missing) == 1


async def test_an_error_in_an_answer_of_status_200_is_a_failure_by_the_file_s_rule() -> None:
    def answer(_: Asked) -> Any:
        return {"ok": False, "error": "invalid_auth", "data": []}

    rules = [{"when": {"path": "ok", "equals": False}, "action": "fail"}]
    async with ApiServer(answer) as api:
        datasets = {"things": cursor_dataset(api.url, responses=rules)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=VARIABLES) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert batch.status == "dead"
            assert "invalid_auth" in (batch.detail or "")


async def test_a_spent_budget_is_waited_for_by_the_file_s_header() -> None:
    answers = [refused(429, "slow down", X_Reset="0.2"), None]
    pages = cursor_pages(things(3), 5)

    def answer(asked: Asked) -> Any:
        return answers.pop(0) or pages(asked)

    rules = [{"status": 429, "action": "wait", "wait": {"header": "X-Reset"}}]
    async with ApiServer(answer) as api:
        datasets = {"things": cursor_dataset(api.url, responses=rules)}
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, policy=RetryPolicy(tries=1)
        ) as crawler:
            await crawler.run({"datasets": ["things"]})
            assert await ids_of(crawler) == [0, 1, 2]


async def test_what_a_rule_calls_empty_has_no_records_and_is_no_failure() -> None:
    rules = [{"status": [404, 410], "action": "empty"}]
    async with ApiServer(lambda _: refused(404, "gone")) as api:
        datasets = {"things": api_dataset(api.url, responses=rules)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert (batch.status, batch.counts.read, batch.missing) == ("done", 0, ())
