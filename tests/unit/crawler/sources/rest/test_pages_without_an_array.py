"""A page without an array of records is the end only where nothing is behind it; an empty source is reported as one."""

import json
from typing import Any

import pytest

from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, only_batch, things
from tests.support.source import SourceServer

SIZE = 3
BY_PAGE = {**PAGES, "size": SIZE, "total_header": None}
AT_ONCE = {"kind": "none"}
END = faults.body(b'{"items": []}')
BATCHES = pytest.mark.parametrize("batch_rows", [3, 6, 50_000])

NO_ARRAY = {
    "no body": (b"", "the answer is empty, no array"),
    "null": (b"null", "the answer is null, no array"),
    "an empty object": (b"{}", "the answer has no items; it is empty"),
    "another key": (b'{"page": {"rows": 0}}', "the answer has no items; its keys are page"),
    "null for the records": (b'{"items": null}', "items is null, no array"),
    "an empty object for the records": (b'{"items": {}}', "items is an empty object, no array"),
}
FORMS = pytest.mark.parametrize(("form", "words"), NO_ARRAY.values(), ids=NO_ARRAY)


async def crawl(
    pages: dict[int, bytes],
    pagination: dict[str, Any] = BY_PAGE,
    *,
    batch_rows: int = 50_000,
    behind: faults.Fault = END,
    records_path: tuple[str, ...] = ("items",),
    **headers: str,
) -> tuple[Crawler, list[int], list[str]]:
    """The crawler, the ids that came, and what is told of missing pages. `behind`: answers what is not in `pages`."""
    async with SourceServer() as source:
        for number, body in pages.items():
            query = f"?_page={number}&_limit={SIZE}" if pagination["kind"] == "page" else ""
            source.fail(f"/things{query}", faults.body(body, **headers))
        source.fail("/things", behind)
        described = dataset_of(source.url, pagination, records_path=records_path)
        async with crawler_of(
            source.url, allow=source.allow, datasets={"things": described}, batch_rows=batch_rows
        ) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            done = [batch for batch in crawler.batches if batch.status == "done"]
            ids = [row["id"] for batch in done for row in await crawler.rows(batch)]
            return crawler, ids, [page.reason for batch in crawler.batches for page in batch.missing]


def six_pages(**others: bytes) -> dict[int, bytes]:
    """18 records; `page_4=…` takes the place of that page."""
    rows = things(6 * SIZE)
    pages = {n + 1: json.dumps({"items": rows[n * SIZE : (n + 1) * SIZE]}).encode() for n in range(6)}
    return pages | {int(name.removeprefix("page_")): body for name, body in others.items()}


WITHOUT_PAGE_4 = [n for n in range(18) if not 9 <= n < 12]


@FORMS
@BATCHES
@pytest.mark.parametrize("total", [None, "18"])
async def test_a_page_without_an_array_and_with_records_behind_it_is_missing(
    form: bytes, words: str, batch_rows: int, total: str | None
) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": total}
    pagination = BY_PAGE if total is None else {**BY_PAGE, "total_header": "X-Total-Count"}
    pages = six_pages(page_4=form)
    _, ids, missing = await crawl(pages, pagination, batch_rows=batch_rows, **headers)
    assert ids == WITHOUT_PAGE_4
    assert missing == [
        f"page 4 is missing: {words}, and the source goes on behind it; if such pages are empty: no_array: end"
    ]


@FORMS
@BATCHES
@pytest.mark.parametrize("behind", [END, faults.body(b"{}"), faults.status(404), faults.status(410)])
async def test_a_page_without_an_array_and_with_nothing_behind_it_is_the_end(
    form: bytes, words: str, batch_rows: int, behind: faults.Fault
) -> None:
    crawler, ids, missing = await crawl(six_pages(page_7=form), batch_rows=batch_rows, behind=behind)
    assert (ids, missing) == (list(range(18)), [])
    assert all(batch.detail is None for batch in crawler.batches), f"{words} needs no remark"


async def test_what_is_behind_such_a_page_and_cannot_be_seen_is_missing() -> None:
    _, ids, missing = await crawl(six_pages(page_7=b"{}"), behind=faults.status(500))
    assert ids == list(range(18))
    assert [reason.partition(":")[0] for reason in missing] == [
        "page 7 is missing",
        "page 8 and all after it are missing",
    ]


@FORMS
async def test_a_file_may_declare_that_pages_end_so(form: bytes, words: str) -> None:
    declared = {**BY_PAGE, "no_array": "end"}
    crawler, ids, missing = await crawl(six_pages(page_4=form), declared)
    assert (ids, missing) == (list(range(9)), []), f"{words} is the end"
    [*_, last] = await crawler.requests(crawler.batches[-1])
    assert "_page=4" in last["url"]


@pytest.mark.parametrize("total", [None, "18"])
async def test_a_page_with_its_records_under_another_key_is_missing(total: str | None) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": total}
    pagination = BY_PAGE if total is None else {**BY_PAGE, "total_header": "X-Total-Count"}
    renamed = json.dumps({"entries": things(3)}).encode()
    _, ids, missing = await crawl(six_pages(page_4=renamed), pagination, **headers)
    [reason] = missing
    assert "there is no items in the answer, and entries holds records" in reason
    assert ids == (list(range(9)) if total is None else WITHOUT_PAGE_4)


async def test_records_that_reach_a_capped_total_do_not_hide_the_page_before_them() -> None:
    counted = {**BY_PAGE, "total_header": "X-Total-Count"}
    _, ids, missing = await crawl(six_pages(page_1=b"{}"), counted, X_Total_Count="3")
    assert ids == list(range(3, 18))
    assert [reason.partition(":")[0] for reason in missing] == ["page 1 is missing"]


@BATCHES
@pytest.mark.parametrize("total", [None, "18"])
async def test_a_page_that_came_before_does_not_confirm_the_end(batch_rows: int, total: str | None) -> None:
    headers: dict[str, Any] = {} if total is None else {"X_Total_Count": total}
    pagination = BY_PAGE if total is None else {**BY_PAGE, "total_header": "X-Total-Count"}
    pages = six_pages(page_4=b"{}")
    pages[5] = pages[3]
    _, _, missing = await crawl(pages, pagination, batch_rows=batch_rows, **headers)
    assert "page 4 is missing" in [reason.partition(":")[0] for reason in missing]


async def test_a_page_that_came_before_is_an_end_where_the_file_declares_it() -> None:
    pages = six_pages(page_4=b"{}")
    pages[5] = pages[3]
    _, ids, missing = await crawl(pages, {**BY_PAGE, "repeats": "end"})
    assert (ids, missing) == (list(range(9)), [])


async def test_an_empty_array_is_the_end() -> None:
    crawler, ids, missing = await crawl(six_pages(page_4=b'{"items": []}'))
    assert (ids, missing) == (list(range(9)), [])
    [*_, last] = await crawler.requests(crawler.batches[-1])
    assert "_page=4" in last["url"], "nothing behind it was asked for"


async def test_one_page_is_asked_for_behind_a_page_without_an_array() -> None:
    pages = six_pages(page_7=b"{}", page_8=b"{}")
    counted = {**BY_PAGE, "total_header": "X-Total-Count"}
    crawler, ids, missing = await crawl(pages, counted, X_Total_Count="18")
    assert (ids, missing) == (list(range(18)), [])
    assert not any("_page=9" in entry["url"] for entry in await crawler.requests(crawler.batches[-1]))


async def test_a_page_without_an_array_is_missing_where_it_stands_at_a_total_that_is_too_low() -> None:
    counted = {**BY_PAGE, "total_header": "X-Total-Count"}
    _, ids, missing = await crawl(six_pages(page_4=b"{}"), counted, X_Total_Count="9")
    assert ids == WITHOUT_PAGE_4
    assert [reason.partition(":")[0] for reason in missing] == ["page 4 is missing"]


async def test_a_total_of_0_is_not_the_end_where_the_first_page_has_no_array() -> None:
    counted = {**BY_PAGE, "total_header": "X-Total-Count"}
    _, ids, missing = await crawl(six_pages(page_1=b"{}"), counted, X_Total_Count="0")
    assert ids == list(range(3, 18))
    assert [reason.partition(":")[0] for reason in missing] == ["page 1 is missing"]


async def test_a_page_that_a_link_led_to_has_records_or_is_missing() -> None:
    async with SourceServer() as source:
        first = json.dumps({"items": things(3)}).encode()
        source.fail("/things?at=b", faults.body(b"{}"))
        source.fail("/things", faults.body(first, Link="</things?at=b>; rel=next"))
        described = dataset_of(source.url, BY_PAGE, records_path=["items"])
        async with crawler_of(source.url, allow=source.allow, datasets={"things": described}) as crawler:
            await crawler.run({"run_id": "r", "datasets": ["things"]})
            [page] = (await only_batch(crawler)).missing
            assert page.url == f"{source.url}/things?at=b"
            assert page.reason.startswith("a page is missing: the answer has no items")


@FORMS
@pytest.mark.parametrize("pagination", [BY_PAGE, AT_ONCE])
async def test_what_a_source_without_a_record_has_instead_is_named(
    form: bytes, words: str, pagination: dict[str, Any]
) -> None:
    crawler, ids, missing = await crawl({1: form}, pagination)
    assert (ids, missing) == ([], [])
    assert (await only_batch(crawler)).detail == f"0 records: {words}"


@pytest.mark.parametrize("pagination", [BY_PAGE, AT_ONCE])
async def test_an_empty_array_gets_no_remark(pagination: dict[str, Any]) -> None:
    crawler, ids, missing = await crawl({1: b'{"items": []}'}, pagination)
    assert (ids, missing, (await only_batch(crawler)).detail) == ([], [], None)


@pytest.mark.parametrize("path", [("data", "items"), ("rows",), ()])
@pytest.mark.parametrize("pagination", [BY_PAGE, AT_ONCE])
async def test_a_first_answer_with_its_records_elsewhere_is_a_failure(
    path: tuple[str, ...], pagination: dict[str, Any]
) -> None:
    body = json.dumps({"result": {"rows": things(5)}}).encode()
    crawler, ids, _ = await crawl({1: body}, pagination, records_path=path)
    [batch] = crawler.batches
    assert (ids, batch.status) == ([], "dead")
    assert "write records_path: [result, rows]" in batch.missing[0].reason


@pytest.mark.parametrize(
    ("total", "shown"),
    [
        ("many", "many"),
        ("1,000", "1,000"),
        ("-1", "-1"),
        ("9" * 30, "9" * 30),
        ("", "nothing"),
        ("x" * 90, "x" * 40 + "..."),
    ],
)
async def test_a_total_that_is_not_a_number_is_reported(total: str, shown: str) -> None:
    counted = {**BY_PAGE, "total_header": "X-Total-Count"}
    crawler, ids, missing = await crawl(six_pages(), counted, X_Total_Count=total)
    assert (ids, missing) == (list(range(18)), [])
    expected = f"the header X-Total-Count gives {shown}, which is not a number of records"
    assert [batch.detail for batch in crawler.batches] == [expected]
