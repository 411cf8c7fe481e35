"""Answers that name a next page: by a Link header, or where no pages are expected."""

import pytest
from aiohttp import web

from services.crawler.sources import batch_fetcher
from shared.events.models import CursorWork
from tests.support import source as faults
from tests.support.crawler import crawler_of, dataset_of, things
from tests.support.scripted_pages import BATCHES, THREES, THREES_NO_TOTAL, crawl, cut, ids_of, listed, missing
from tests.support.source import SourceServer


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
async def test_a_link_that_is_not_pagination_is_ignored(link: str, batch_rows: int) -> None:
    crawler, _ = await crawl(listed(*cut(9), [], Link=link), THREES_NO_TOTAL, batch_rows=batch_rows)
    assert await ids_of(crawler) == list(range(9))
    assert missing(crawler) == []


async def test_links_that_lead_elsewhere_than_numbers_are_followed_whatever_the_total_is() -> None:
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


async def test_a_link_without_a_next_is_not_the_end_where_less_came_than_promised() -> None:
    pages = listed(*cut(9), [], Link='</things?_page=1>; rel="first"', X_Total_Count="9")
    crawler, _ = await crawl(pages, {**THREES, "total_header": "X-Total-Count"})
    assert await ids_of(crawler) == list(range(9))


async def test_links_that_name_a_later_last_page_are_not_the_end() -> None:
    links = "</things?_page=1>; rel=first, </things?_page=3>; rel=last"
    crawler, _ = await crawl(listed(*cut(9), [], Link=links), THREES_NO_TOTAL)
    assert await ids_of(crawler) == list(range(9))


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


async def test_empty_pages_in_a_row_are_counted_over_the_batches_of_a_slow_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_fetcher, "BATCH_S", 0.0)

    def desert(number: int, _before: int) -> faults.Fault:
        rows = [{"id": number}] if number in {1, 70} else []
        link = f"</things?_page={number + 1}>; rel=next" if number < 300 else "</>; rel=first"
        return faults.records(rows, Link=link)

    crawler, source = await crawl(desert, THREES_NO_TOTAL)
    assert len(crawler.batches) > 50
    assert await ids_of(crawler) == [1, 70]
    [reason] = missing(crawler)
    assert reason == "page 170 and all after it are missing: 100 pages in a row are empty and name a next one"
    assert max(source.asked) == 170


def test_a_cursor_of_an_older_revision_has_no_empty_pages_and_is_written_as_it_was_read() -> None:
    old = (
        b'{"kind":"cursor","url":"http://h/things","first_position":0,"seen":[],"pages":0,"promised":null,'
        b'"end_shown":false,"by_link":false}'
    )
    cursor = CursorWork.model_validate_json(old)
    assert cursor.empty == 0
    assert cursor.model_dump_json().encode() == old, "readers of an older revision take it"


async def test_a_total_of_nothing_is_not_the_end_where_a_next_page_is_named() -> None:
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
