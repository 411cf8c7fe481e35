"""Where pages begin: at 0 or at 1, as the file names it or the source shows it."""

from typing import Any

import pytest

from tests.support import source as faults
from tests.support.crawler import things
from tests.support.scripted_pages import BATCHES, UNSET, crawl, cut, ids_of, listed, missing


@pytest.mark.parametrize("total", [None, "9"])
@BATCHES
@pytest.mark.parametrize("count", [2, 9])
async def test_pages_that_begin_at_0_are_read_from_0(total: str | None, batch_rows: int, count: int) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": str(count)}
    pagination = {**UNSET, "size": 3, "total_header": None if total is None else "X-Total-Count"}
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

    crawler, source = await crawl(answer, {**UNSET, "size": 3})
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])
    assert source.asked[0] <= 5, "a look, as often as any other"


@pytest.mark.parametrize(
    "page_0", [faults.status(503), faults.status(429), faults.html(), faults.truncated(), faults.close()]
)
async def test_without_an_answer_for_page_0_there_is_no_plan(page_0: faults.Fault) -> None:
    pages = listed(*cut(9), [], first=0)

    def answer(number: int, before: int) -> faults.Fault | None:
        return page_0 if number == 0 else pages(number, before)

    crawler, _ = await crawl(answer, {**UNSET, "size": 3, "total_header": None})
    assert await ids_of(crawler) == []
    assert "write `first: 1` if there is no page 0" in missing(crawler)[0]


@pytest.mark.parametrize("page_0", [faults.status(403), faults.status(401), faults.status(500)])
async def test_a_page_0_that_may_not_be_read_is_missing_where_page_1_has_no_record(
    page_0: faults.Fault,
) -> None:
    crawler, _ = await crawl(
        lambda number, _: page_0 if number == 0 else faults.records([]),
        {**UNSET, "size": 3, "total_header": None},
    )
    assert "write `first: 1` if there is no page 0" in missing(crawler)[0]


@pytest.mark.parametrize("status", [400, 404])
async def test_an_empty_source_may_have_no_page_0(status: int) -> None:
    crawler, _ = await crawl(
        lambda number, _: faults.status(status) if number == 0 else faults.records([]),
        {**UNSET, "size": 3, "total_header": None},
    )
    assert (await ids_of(crawler), missing(crawler)) == ([], [])


async def test_the_total_of_page_0_counts_though_no_page_has_a_record() -> None:
    def answer(number: int, _before: int) -> faults.Fault:
        return faults.body(b"", X_Total_Count="4") if number == 0 else faults.records([])

    crawler, _ = await crawl(answer, {**UNSET, "size": 3})
    assert max(batch.promised or 0 for batch in crawler.batches) == 4


async def test_a_file_may_set_where_pages_begin() -> None:
    crawler, source = await crawl(listed(*cut(9), []), {**UNSET, "size": 3, "first": 1})
    assert 0 not in source.asked
    crawler, _ = await crawl(listed(*cut(9), [], first=0), {**UNSET, "size": 3, "first": 0})
    assert await ids_of(crawler) == list(range(9))
