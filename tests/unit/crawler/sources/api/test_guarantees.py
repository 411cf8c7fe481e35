"""What holds for every source: plans are frozen, the first result counts, a redelivery asks for nothing, runs end."""

from typing import Any

import pytest

from services.crawler.sources import batch_fetcher
from shared.errors import PermanentError
from shared.events.models import BatchManifest, CrawlBatchRequested
from shared.storage import keys
from tests.support.api_datasets import TOKEN, api_dataset, cursor_dataset
from tests.support.api_server import ApiServer, Asked, cursor_pages, refused
from tests.support.crawler import Crawler, crawler_of, essence, things

VARIABLES = {"SHOP_TOKEN": TOKEN}
NUMBERS: dict[str, Any] = {
    "for_each": [{"name": "n", "first": 1, "last": 5}],
    "request": {"path": "/things", "query": {"n": "{each.n}"}},
}


def by_number(asked: Asked) -> Any:
    return [{"id": int(asked.query["n"])}]


async def rows_of(crawler: Crawler) -> list[int]:
    done = [batch for batch in crawler.batches if batch.status == "done"]
    return [row["id"] for batch in done for row in await crawler.rows(batch)]


async def test_a_redelivered_plan_and_batch_give_the_same_and_make_no_request() -> None:
    async with ApiServer(cursor_pages(things(7), 2)) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, batch_rows=4
        ) as crawler:
            await crawler.run({"datasets": ["things"]})
            asked = len(api.seen)
            for event in [one for one in crawler.events if isinstance(one.event, CrawlBatchRequested)]:
                assert essence(await crawler.handle(event)) == essence(await crawler.handle(event))
            assert len(api.seen) == asked


async def test_a_plan_stays_as_it_was_made_whatever_the_parameters_are_later() -> None:
    async with ApiServer(by_number) as api:
        source: dict[str, Any] = {
            "params": {"numbers": {"env": "NUMBERS", "type": "list"}},
            "for_each": [{"name": "n", "values": "{param.numbers}"}],
            "request": {"path": "/things", "query": {"n": "{each.n}"}},
        }
        datasets = {"things": api_dataset(api.url, **source)}
        variables = {"NUMBERS": "3, 1"}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=variables) as crawler:
            await crawler.run({"run_id": "one", "datasets": ["things"]})
            store = crawler.staging
        variables["NUMBERS"] = "9"
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=variables, staging=store
        ) as crawler:
            await crawler.run({"run_id": "one", "datasets": ["things"]})
            assert await rows_of(crawler) == [3, 1]
    assert len(api.seen) == 2


async def test_a_required_parameter_without_a_value_is_said_and_nothing_is_asked() -> None:
    async with ApiServer(lambda _: [{"id": 1}]) as api:
        source: dict[str, Any] = {
            "params": {"shop": {"env": "SHOP", "required": True}},
            "request": {"path": "/{param.shop}"},
        }
        datasets = {"things": api_dataset(api.url, **source)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
            assert "set the variable SHOP for the crawler" in (batch.detail or "")
            await crawler.run(
                {"run_id": "two", "datasets": ["things"], "parameters": {"things": {"params": {"shop": "a"}}}}
            )
    assert [asked.path for asked in api.seen] == ["/a"]


async def test_a_batch_whose_time_is_over_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", 0.0)
    async with ApiServer(by_number) as api:
        limits = {"requests_per_second": 0, "concurrency": 1}
        datasets = {"things": api_dataset(api.url, limits=limits, **NUMBERS)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            monkeypatch.setattr(batch_fetcher, "BATCH_S", 0.02)
            await crawler.run({"datasets": ["things"]})
            assert await rows_of(crawler) == [1, 2, 3, 4, 5]
    assert sorted({asked.query["n"] for asked in api.seen}) == ["1", "2", "3", "4", "5"]


async def test_a_cancelled_run_asks_for_nothing_more() -> None:
    async with ApiServer(cursor_pages(things(7), 2)) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, batch_rows=2
        ) as crawler:
            [plan] = await crawler.ask({"run_id": "gone", "datasets": ["things"]})
            [first] = await crawler.handle(plan)
            await crawler.staging.create(keys.cancel_key("gone"), b"{}")
            with pytest.raises(PermanentError, match="cancelled"):
                await crawler.handlers.on_batch_requested(crawler.record(first))
    assert api.seen == []


async def test_a_long_wait_ends_the_batch_and_the_source_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run is parked: its record comes again, and what is left of the wait is waited for first."""
    monkeypatch.setattr("services.crawler.http.api_client.MOST_WAITED_S", 0.05)
    answers: list[Any] = [None, refused(429, "later", Retry_After="0.3")]
    pages = cursor_pages(things(5), 2)

    def answer(asked: Asked) -> Any:
        return (answers.pop(0) if answers else None) or pages(asked)

    async with ApiServer(answer) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets, variables=VARIABLES) as crawler:
            await crawler.run({"datasets": ["things"]})
            assert await rows_of(crawler) == [0, 1, 2, 3, 4]
            assert [batch.counts.read for batch in crawler.batches] == [2, 3]
    assert len(api.seen) == 4


async def test_every_request_refused_is_a_dead_batch_and_no_green_run() -> None:
    async with ApiServer(lambda _: refused(403, "not for you")) as api:
        datasets = {"things": api_dataset(api.url, **NUMBERS)}
        async with crawler_of(api.url, allow=api.allow, datasets=datasets) as crawler:
            await crawler.run({"datasets": ["things"]})
            [batch] = crawler.batches
    assert (batch.status, batch.reason) == ("dead", "fetch")


async def test_a_redriven_batch_goes_on_and_what_is_behind_its_end_is_listed() -> None:
    broken = {"is": True}
    pages = cursor_pages(things(7), 2)

    def answer(asked: Asked) -> Any:
        return refused(403, "closed") if asked.cursor == "4" and broken["is"] else pages(asked)

    async with ApiServer(answer) as api:
        datasets = {"things": cursor_dataset(api.url)}
        async with crawler_of(
            api.url, allow=api.allow, datasets=datasets, variables=VARIABLES, batch_rows=2
        ) as crawler:
            await crawler.run({"datasets": ["things"]})
            [letter] = crawler.dead_letters
            broken["is"] = False
            await crawler.handlers.redrive(letter)
            [result, *_] = await crawler.handlers.on_batch_requested(letter)
            manifest = result.event
            assert isinstance(manifest, BatchManifest)
            assert (manifest.status, manifest.counts.read) == ("done", 2)
            assert "had ended its chain here" in manifest.missing[0].reason
