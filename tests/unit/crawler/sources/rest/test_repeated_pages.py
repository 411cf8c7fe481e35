"""Pages that come again, or move while they are read: no record is lost unseen."""

from typing import Any

import pytest

from tests.support import source as faults
from tests.support.crawler import things
from tests.support.scripted_pages import (
    BATCHES,
    THREES,
    THREES_NO_TOTAL,
    crawl,
    cut,
    ids_of,
    missing,
    promised,
)


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


async def test_pages_that_repeat_are_the_end_where_the_file_declares_it() -> None:
    def clamped(number: int, _before: int) -> faults.Fault:
        return faults.records(cut(7)[min(number, 3) - 1])

    crawler, _ = await crawl(clamped, {**THREES_NO_TOTAL, "repeats": "end"})
    assert (await ids_of(crawler), missing(crawler)) == (list(range(7)), [])
    crawler, _ = await crawl(clamped, THREES_NO_TOTAL)
    assert await ids_of(crawler) == list(range(7))
    assert len(missing(crawler)) == 1


async def test_the_last_page_again_is_not_a_fault_where_the_total_was_reached() -> None:
    def clamped(number: int, _before: int) -> faults.Fault:
        return faults.records(cut(9)[min(number, 3) - 1], X_Total_Count="9")

    crawler, _ = await crawl(clamped)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(9)), [])


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
