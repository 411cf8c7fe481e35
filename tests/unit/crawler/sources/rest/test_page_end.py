"""Where pages end: no source may end early and look complete. Each test is a source that did, or a way it might."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.events import topics
from tests.support import source as faults
from tests.support.crawler import crawler_of, dataset_of, things
from tests.support.scripted_pages import (
    BATCHES,
    THREES,
    THREES_NO_TOTAL,
    Scripted,
    crawl,
    cut,
    ids_of,
    listed,
    missing,
    promised,
)


@asynccontextmanager
async def free_turn(_: object) -> AsyncIterator[None]:
    """Does not wait for the rate."""
    yield


@BATCHES
@pytest.mark.parametrize("total", [1, 3, 5, 6, 7, 8])
async def test_a_total_that_is_too_low_is_not_the_end(total: int, batch_rows: int) -> None:
    """Totals may be capped, cached or behind."""
    pages = listed(*cut(9), [], X_Total_Count=str(max(3, total)))
    crawler, _ = await crawl(pages, batch_rows=batch_rows)
    assert await ids_of(crawler) == list(range(9))
    assert missing(crawler) == []
    assert crawler.events[-1].topic == topics.CRAWL_PLANNED, "sealed at the end"
    assert crawler.planned[0].batches == len(crawler.batches)


@BATCHES
async def test_a_total_that_grows_while_it_is_read_is_followed(batch_rows: int) -> None:
    rows = things(9)

    def growing(number: int, _before: int) -> faults.Fault | None:
        total = 4 if number <= 1 else 9
        return faults.records(rows[(number - 1) * 3 : number * 3], X_Total_Count=str(total))

    crawler, _ = await crawl(growing, batch_rows=batch_rows)
    assert await ids_of(crawler) == list(range(9))
    assert promised(crawler) == 9


async def test_a_short_last_page_is_followed_where_the_source_reports_more() -> None:
    pages = [*cut(6), things(7)[6:], [{"id": 7}, {"id": 8}], []]
    crawler, _ = await crawl(listed(*pages, X_Total_Count="9"))
    assert await ids_of(crawler) == list(range(9))


@BATCHES
async def test_a_short_page_is_not_the_end_without_a_total(batch_rows: int) -> None:
    """Some sources filter a page after they cut it."""
    pages = [things(3), [{"id": 3}], [{"id": 4}, {"id": 5}, {"id": 6}], [{"id": 7}], []]
    crawler, _ = await crawl(listed(*pages), THREES_NO_TOTAL, batch_rows=batch_rows)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(8)), [])


@BATCHES
@pytest.mark.parametrize(
    ("status", "count", "total"),
    [
        *(
            (status, *source)
            for status in (400, 404, 410, 416, 422)
            for source in ((7, None), (7, "7"), (8, "6"))
        ),
        *((status, 9, "9") for status in (404, 410, 416)),
    ],
)
async def test_no_such_page_is_the_end_where_an_end_was_shown(
    status: int, count: int, total: str | None, batch_rows: int
) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": total}
    pages = listed(*cut(count), **headers)

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(status)

    crawler, _ = await crawl(answer, batch_rows=batch_rows)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(count)), [])
    assert all(manifest.status == "done" for manifest in crawler.batches)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
@BATCHES
async def test_an_error_behind_a_full_page_is_not_the_end(status: int, batch_rows: int) -> None:
    pages = listed(*cut(9))

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(status)

    crawler, _ = await crawl(answer, THREES_NO_TOTAL, batch_rows=batch_rows)
    assert await ids_of(crawler) == list(range(9))
    assert len(missing(crawler)) == 1
    ends = {**THREES_NO_TOTAL, "end_statuses": [404]}
    if status == 404:
        crawler, _ = await crawl(answer, ends, batch_rows=batch_rows)
        assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])


async def test_an_outage_behind_a_short_page_is_not_the_end() -> None:
    pages = listed(*cut(7))

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(503)

    crawler, _ = await crawl(answer, THREES_NO_TOTAL)
    [reason] = missing(crawler)
    assert reason.startswith("page 4 and all after it are missing: ")


@pytest.mark.parametrize("status", [400, 422])
async def test_a_window_that_ends_where_the_total_does_is_not_the_end(status: int) -> None:
    """A search may give only its first records, and count no more than those."""
    pages = listed(*cut(9), X_Total_Count="9")

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(status)

    crawler, _ = await crawl(answer)
    [reason] = missing(crawler)
    assert reason.startswith("page 4 and all after it are missing: ")
    assert reason.endswith(f"; if the source ends this way: end_statuses: [{status}]")


async def test_a_batch_behind_the_plan_ends_by_the_rate_of_its_source() -> None:
    async with Scripted(listed(*cut(400), [], X_Total_Count="3")) as source:
        datasets = {"things": dataset_of(source.url, THREES, requests_per_second=0.5)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            [plan_unit] = await crawler.ask({"run_id": "r", "datasets": ["things"]})
            [unit] = await crawler.handle(plan_unit)
            source.seen.clear()
            crawler.handlers.service._batch_crawl._fetch._throttle.request = free_turn  # type: ignore[attr-defined]  # noqa: SLF001
            await crawler.handle(unit)
            assert len(source.seen) == 50


@BATCHES
@pytest.mark.parametrize("limit", [1, 3, 5, 6, 7, 8, 9, 20])
@pytest.mark.parametrize("total", ["5", "6", "9", "12"])
async def test_a_limit_is_obeyed_whatever_the_total_is(limit: int, total: str, batch_rows: int) -> None:
    crawler, _ = await crawl(listed(*cut(9), [], [], X_Total_Count=total), batch_rows=batch_rows, limit=limit)
    assert await ids_of(crawler) == list(range(min(limit, 9)))
    assert promised(crawler) in {min(limit, int(total)), min(limit, 9)}


async def test_a_limit_that_is_reached_by_a_record_that_came_twice_is_not_met() -> None:
    def shifting(number: int, _before: int) -> faults.Fault:
        rows = things(9) if number == 1 else [{"id": 99}, *things(9)]
        return faults.records(rows[(number - 1) * 3 : number * 3])

    crawler, _ = await crawl(shifting, THREES_NO_TOTAL, limit=5)
    assert (await ids_of(crawler), promised(crawler)) == ([0, 1, 2, 2, 3], 5), "four came of five"


async def test_a_total_above_what_came_is_told() -> None:
    crawler, _ = await crawl(listed(*cut(6), [], X_Total_Count="9"))
    assert await ids_of(crawler) == list(range(6))
    assert promised(crawler) == 9, "the verdict compares it with what came"


async def test_each_unit_of_a_crawl_behind_its_plan_may_come_twice() -> None:
    pages = listed(*cut(12), [], X_Total_Count="6")
    async with Scripted(pages) as source:
        datasets = {"things": dataset_of(source.url, THREES)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets, batch_rows=3) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            asked = len(source.seen)
            for event in list(crawler.events):
                if event.topic == topics.CRAWL_BATCH_REQUESTED:
                    known = {(e.topic, e.key) for e in crawler.events}
                    assert {(e.topic, e.key) for e in await crawler.handle(event)} <= known
            assert len(source.seen) == asked
            assert [planned.batches for planned in crawler.planned] == [len(crawler.batches)] * len(
                crawler.planned
            )
