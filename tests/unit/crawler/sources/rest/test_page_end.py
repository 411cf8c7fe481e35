"""Where pages end: no source may end early and look complete. Each test is a source that did, or a way it might."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from shared.events import topics
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, things
from tests.support.source import SourceServer

UNSAID = {**PAGES, "first": None}
NO_TOTAL = {**PAGES, "total_header": None}
THREES = {**PAGES, "size": 3}
THREES_NO_TOTAL = {**NO_TOTAL, "size": 3}

Pages = Callable[[int, int], faults.Fault | None]
"""The answer to a request for a page (number, how often it was asked for before)."""


class Scripted(SourceServer):
    """`/things`, page by page as a function says; what it does not know is 404."""

    def __init__(self, pages: Pages) -> None:
        super().__init__({})
        self.pages = pages
        self.asked: dict[int, int] = {}

    def _fault(self, request: web.Request) -> faults.Fault | None:
        number = int(request.query.get("_page", -1))
        before = self.asked.get(number, 0)
        self.asked[number] = before + 1
        return self.pages(number, before) or faults.status(404)


def listed(*pages: list[dict[str, int]], first: int = 1, **headers: str) -> Pages:
    def answer(number: int, _before: int) -> faults.Fault | None:
        place = number - first
        return faults.records(pages[place], **headers) if 0 <= place < len(pages) else None

    return answer


def cut(count: int, size: int = 3) -> list[list[dict[str, int]]]:
    rows = things(count)
    return [rows[start : start + size] for start in range(0, count, size)]


async def crawl(
    pages: Pages, pagination: dict[str, Any] = THREES, *, batch_rows: int = 50_000, limit: int | None = None
) -> tuple[Crawler, Scripted]:
    async with Scripted(pages) as source:
        datasets = {"things": dataset_of(source.url, pagination)}
        async with crawler_of(
            source.url, allow=source.allow, datasets=datasets, batch_rows=batch_rows
        ) as crawler:
            parameters = {} if limit is None else {"things": {"limit": limit}}
            await crawler.run({"run_id": "r", "datasets": ["things"], "parameters": parameters})
            return crawler, source


@asynccontextmanager
async def free_turn(_: object) -> AsyncIterator[None]:
    """Does not wait for the rate."""
    yield


async def ids_of(crawler: Crawler) -> list[int]:
    return [row["id"] for m in crawler.batches if m.status == "done" for row in await crawler.rows(m)]


def missing(crawler: Crawler) -> list[str]:
    return [page.reason for manifest in crawler.batches for page in manifest.missing]


def promised(crawler: Crawler) -> int | None:
    """As the ledger takes it: what the answers with records said, else what the plan was made of."""
    told = [m.promised for m in crawler.batches if m.promised is not None]
    return max(told, default=crawler.planned[0].rows)


BATCHES = pytest.mark.parametrize("batch_rows", [3, 6, 50_000])


@BATCHES
@pytest.mark.parametrize(
    "link",
    [
        "</static/app.css>; rel=preload; as=style",
        '<https://api.example/wp-json/>; rel="https://api.w.org/"',
        "</docs>; rel=help, </licence>; rel=license",
        '</things?_page=2>; rel=alternate; title="next"',
        '</things?_page=9>; rel="next"; anchor="/other"',
        "nonsense",
        "",
    ],
)
async def test_a_link_that_is_no_pagination_says_nothing_of_pages(link: str, batch_rows: int) -> None:
    crawler, _ = await crawl(listed(*cut(9), [], Link=link), THREES_NO_TOTAL, batch_rows=batch_rows)
    assert await ids_of(crawler) == list(range(9))
    assert missing(crawler) == []


@BATCHES
@pytest.mark.parametrize("total", [1, 3, 5, 6, 7, 8])
async def test_a_total_that_is_too_low_is_not_the_end(total: int, batch_rows: int) -> None:
    """Capped, cached, or behind."""
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


async def test_a_short_last_page_is_followed_where_the_source_says_that_there_is_more() -> None:
    pages = [*cut(6), things(7)[6:], [{"id": 7}, {"id": 8}], []]
    crawler, _ = await crawl(listed(*pages, X_Total_Count="9"))
    assert await ids_of(crawler) == list(range(9))


@BATCHES
async def test_a_record_put_in_front_while_the_list_is_read_costs_no_other(batch_rows: int) -> None:
    before, after = things(9), [{"id": 99}, *things(9)]

    def shifting(number: int, asked_before: int) -> faults.Fault | None:
        rows = before if number == 1 and asked_before < 2 else after
        return faults.records(rows[(number - 1) * 3 : number * 3], X_Total_Count=str(len(rows)))

    crawler, _ = await crawl(shifting, batch_rows=batch_rows)
    assert set(await ids_of(crawler)) == set(range(9))
    assert promised(crawler) == 10
    assert missing(crawler) == []


@BATCHES
async def test_many_records_put_in_front_cost_no_other(batch_rows: int) -> None:
    def shifting(number: int, asked_before: int) -> faults.Fault | None:
        new = 0 if number == 1 and asked_before < 2 else 7
        rows = [*({"id": 100 + n} for n in range(new)), *things(12)]
        return faults.records(rows[(number - 1) * 3 : number * 3], X_Total_Count=str(len(rows)))

    crawler, _ = await crawl(shifting, batch_rows=batch_rows)
    assert set(range(12)) <= set(await ids_of(crawler))


@pytest.mark.parametrize("total", [None, "9"])
@BATCHES
async def test_a_server_that_ignores_the_page_is_found_out(total: str | None, batch_rows: int) -> None:
    headers = {} if total is None else {"X_Total_Count": total}

    def same(_number: int, _before: int) -> faults.Fault:
        return faults.records(things(3), **headers)

    crawler, source = await crawl(same, batch_rows=batch_rows)
    assert set(await ids_of(crawler)) == {0, 1, 2}
    if total is None or batch_rows > 3:  # else PostgreSQL counts the repeated rows
        assert all(reason.startswith("the page is the same as one before") for reason in missing(crawler))
        assert missing(crawler)
    assert len(source.seen) < 20


@pytest.mark.parametrize("period", [1, 2, 5, 9])
@pytest.mark.parametrize("batch_rows", [3, 50_000])
async def test_pages_that_come_round_again_end_the_crawl(period: int, batch_rows: int) -> None:
    rows = things(3 * period)

    def round_and_round(number: int, _before: int) -> faults.Fault:
        place = (number - 1) % period * 3
        return faults.records(rows[place : place + 3])

    crawler, source = await crawl(round_and_round, THREES_NO_TOTAL, batch_rows=batch_rows)
    assert set(await ids_of(crawler)) == {row["id"] for row in rows}
    assert len(missing(crawler)) == 1
    assert len(source.seen) < 6 * period + 10


async def test_pages_that_repeat_are_the_end_where_the_file_says_so() -> None:
    def clamped(number: int, _before: int) -> faults.Fault:
        return faults.records(cut(7)[min(number, 3) - 1])

    crawler, _ = await crawl(clamped, {**THREES_NO_TOTAL, "repeats": "end"})
    assert (await ids_of(crawler), missing(crawler)) == (list(range(7)), [])
    crawler, _ = await crawl(clamped, THREES_NO_TOTAL)
    assert await ids_of(crawler) == list(range(7))
    assert len(missing(crawler)) == 1


async def test_the_last_page_again_is_no_fault_where_the_total_was_reached() -> None:
    def clamped(number: int, _before: int) -> faults.Fault:
        return faults.records(cut(9)[min(number, 3) - 1], X_Total_Count="9")

    crawler, _ = await crawl(clamped)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])


@pytest.mark.parametrize("total", [None, "9"])
@BATCHES
@pytest.mark.parametrize("count", [2, 9])
async def test_pages_that_begin_at_0_are_read_from_0(total: str | None, batch_rows: int, count: int) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": str(count)}
    pagination = {**UNSAID, "size": 3, "total_header": None if total is None else "X-Total-Count"}
    crawler, _ = await crawl(
        listed(*cut(count), [], [], first=0, **headers), pagination, batch_rows=batch_rows
    )
    assert (await ids_of(crawler), missing(crawler)) == (list(range(count)), [])


@pytest.mark.parametrize(
    "page_0",
    [
        faults.status(404),
        faults.status(400),
        faults.status(500),
        faults.records([]),
        faults.records(things(3)),
        faults.records([{"id": 99}, *things(2)]),
        faults.records(things(9)),
    ],
)
async def test_a_page_0_that_is_none_of_its_own_changes_nothing(page_0: faults.Fault) -> None:
    pages = listed(*cut(9), [])

    def answer(number: int, before: int) -> faults.Fault | None:
        return page_0 if number == 0 else pages(number, before)

    crawler, source = await crawl(answer, {**UNSAID, "size": 3})
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])
    assert source.asked[0] <= 5, "a look, as often as any other"


@pytest.mark.parametrize(
    "page_0", [faults.status(503), faults.status(429), faults.html(), faults.truncated(), faults.close()]
)
async def test_without_an_answer_for_page_0_there_is_no_plan(page_0: faults.Fault) -> None:
    pages = listed(*cut(9), [], first=0)

    def answer(number: int, before: int) -> faults.Fault | None:
        return page_0 if number == 0 else pages(number, before)

    crawler, _ = await crawl(answer, {**UNSAID, "size": 3, "total_header": None})
    assert await ids_of(crawler) == []
    assert "`first: 1` says that there is no page 0" in missing(crawler)[0]


async def test_a_file_that_says_where_pages_begin_is_believed() -> None:
    crawler, source = await crawl(listed(*cut(9), []), {**UNSAID, "size": 3, "first": 1})
    assert 0 not in source.asked
    crawler, _ = await crawl(listed(*cut(9), [], first=0), {**UNSAID, "size": 3, "first": 0})
    assert await ids_of(crawler) == list(range(9))


@BATCHES
async def test_a_short_page_is_no_end_without_a_total(batch_rows: int) -> None:
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
async def test_an_error_behind_a_full_page_is_no_end(status: int, batch_rows: int) -> None:
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


async def test_an_outage_behind_a_short_page_is_no_end() -> None:
    pages = listed(*cut(7))

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(503)

    crawler, _ = await crawl(answer, THREES_NO_TOTAL)
    [reason] = missing(crawler)
    assert reason.startswith("page 4 and all after it are missing: ")


async def test_links_that_lead_elsewhere_than_numbers_are_followed_whatever_the_total_says() -> None:
    names = {"": 0, "b": 1, "c": 2}

    async def by_cursor(request: web.Request) -> web.StreamResponse:
        place = names[request.query.get("at", "")]
        following = [name for name, at in names.items() if at == place + 1]
        headers = {"X-Total-Count": "9"}
        if following:
            headers["Link"] = f'</things?at={following[0]}>; rel="next"'
        return web.json_response(cut(9)[place], headers=headers)

    crawler, _ = await crawl(lambda _number, _before: by_cursor)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])


async def test_a_link_without_a_next_is_no_end_where_less_came_than_promised() -> None:
    pages = listed(*cut(9), [], Link='</things?_page=1>; rel="first"', X_Total_Count="9")
    crawler, _ = await crawl(pages, {**THREES, "total_header": "X-Total-Count"})
    assert await ids_of(crawler) == list(range(9))


@pytest.mark.parametrize("status", [400, 422])
async def test_a_window_that_ends_where_the_total_does_is_no_end(status: int) -> None:
    """As of a search that shows its first records only, and counts no more."""
    pages = listed(*cut(9), X_Total_Count="9")

    def answer(number: int, before: int) -> faults.Fault | None:
        return pages(number, before) or faults.status(status)

    crawler, _ = await crawl(answer)
    [reason] = missing(crawler)
    assert reason.startswith("page 4 and all after it are missing: ")
    assert reason.endswith(f"; if the source ends this way: end_statuses: [{status}]")


async def test_links_that_name_a_later_last_page_are_no_end() -> None:
    links = "</things?_page=1>; rel=first, </things?_page=3>; rel=last"
    crawler, _ = await crawl(listed(*cut(9), [], Link=links), THREES_NO_TOTAL)
    assert await ids_of(crawler) == list(range(9))


@pytest.mark.parametrize("total", [None, "9"])
async def test_pages_that_come_again_with_other_bytes_are_found_by_their_keys(total: str | None) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": total}
    served = 0

    def same(_number: int, _before: int) -> faults.Fault:
        nonlocal served
        served += 1
        return faults.records([{"id": n, "served": served} for n in range(3)], **headers)

    crawler, source = await crawl(same, THREES if total else THREES_NO_TOTAL)
    assert set(await ids_of(crawler)) == {0, 1, 2}
    assert missing(crawler)
    assert len(source.seen) < 10


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


async def test_a_list_of_ids_that_names_a_next_page_is_not_all() -> None:
    listing = {"kind": "ids", "list_path": "/ids", "item_path": "/item/{id}"}
    async with SourceServer() as source:
        source.fail("/ids", faults.records([1], Link="</ids?page=2>; rel=next"))
        source.fail("/item/1", faults.body(b'{"id": 1}'))
        datasets = {"things": dataset_of(source.url, listing)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            assert await ids_of(crawler) == [1]
            [page] = crawler.batches[0].missing
            assert page.url == f"{source.url}/ids?page=2"


async def test_a_link_without_a_next_is_the_end() -> None:
    def answer(number: int, _before: int) -> faults.Fault | None:
        link = "</things?_page=2>; rel=prev" if number == 3 else f"</things?_page={number + 1}>; rel=next"
        return faults.records(cut(9)[number - 1], Link=link) if number <= 3 else None

    crawler, source = await crawl(answer, THREES_NO_TOTAL)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])
    assert max(source.asked) == 3


async def test_empty_pages_that_name_a_next_are_passed_over_but_not_for_ever() -> None:
    def sparse(number: int, _before: int) -> faults.Fault:
        rows = [{"id": number}] if number % 5 == 1 else []
        link = f"</things?_page={number + 1}>; rel=next" if number < 20 else "</>; rel=first"
        return faults.records(rows, Link=link)

    crawler, _ = await crawl(sparse, THREES_NO_TOTAL)
    assert (await ids_of(crawler), missing(crawler)) == ([1, 6, 11, 16], [])

    def desert(number: int, _before: int) -> faults.Fault:
        return faults.records([], Link=f"</things?_page={number + 1}>; rel=next")

    crawler, source = await crawl(desert, THREES_NO_TOTAL)
    [reason] = missing(crawler)
    assert reason == "page 100 and all after it are missing: 100 pages in a row are empty and name a next one"
    assert len(source.seen) < 110


@BATCHES
@pytest.mark.parametrize("limit", [1, 3, 5, 6, 7, 8, 9, 20])
@pytest.mark.parametrize("total", ["5", "6", "9", "12"])
async def test_a_limit_is_kept_whatever_the_total_says(limit: int, total: str, batch_rows: int) -> None:
    crawler, _ = await crawl(listed(*cut(9), [], [], X_Total_Count=total), batch_rows=batch_rows, limit=limit)
    assert await ids_of(crawler) == list(range(min(limit, 9)))
    assert promised(crawler) in {min(limit, int(total)), min(limit, 9)}


async def test_a_limit_that_is_met_by_a_record_that_came_twice_is_not_kept() -> None:
    def shifting(number: int, _before: int) -> faults.Fault:
        rows = things(9) if number == 1 else [{"id": 99}, *things(9)]
        return faults.records(rows[(number - 1) * 3 : number * 3])

    crawler, _ = await crawl(shifting, THREES_NO_TOTAL, limit=5)
    assert (await ids_of(crawler), promised(crawler)) == ([0, 1, 2, 2, 3], 5), "four came of five"


async def test_a_total_above_what_came_is_told() -> None:
    crawler, _ = await crawl(listed(*cut(6), [], X_Total_Count="9"))
    assert await ids_of(crawler) == list(range(6))
    assert promised(crawler) == 9, "the verdict compares it with what came"


async def test_a_total_of_nothing_is_no_end_where_a_next_page_is_named() -> None:
    def answer(number: int, _before: int) -> faults.Fault:
        link = f"</things?_page={number + 1}>; rel=next" if number < 3 else "</>; rel=first"
        return faults.records([] if number < 3 else things(2), X_Total_Count="0", Link=link)

    crawler, _ = await crawl(answer)
    assert (await ids_of(crawler), missing(crawler)) == ([0, 1], [])


async def test_one_answer_that_names_a_next_page_is_not_all() -> None:
    async with SourceServer() as source:
        datasets = {"things": dataset_of(source.url, {"kind": "none"})}
        source.fail("/things", faults.records(things(3), Link="</things?page=2>; rel=next"))
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            assert await ids_of(crawler) == [0, 1, 2]
            [page] = crawler.batches[0].missing
            assert page.url == f"{source.url}/things?page=2"
            assert "the answer names a next page" in page.reason


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
