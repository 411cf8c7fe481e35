"""A batch of pages that goes on from checkpoints tells the same as one that was never interrupted."""

from typing import Any, Literal

import pytest

from services.crawler.sources import batch_fetcher
from services.crawler.sources.batch_fetcher import BatchFetcher
from shared.datasets.model import ApiSource
from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of
from tests.support.scripted_pages import Pages, Scripted, cut

THREES = {**PAGES, "size": 3}
COUNT = 18
PLANS: dict[str, dict[str, Any]] = {
    "open": {},
    "open, two batches": {"batch_rows": 9},
    "closed": {"limit": COUNT - 1},
    "closed, two batches": {"limit": COUNT - 1, "batch_rows": 9},
}

Page = Literal["good", "null", "empty", "gone", "again", "odd total"]


def six_pages(*kinds: Page) -> Pages:
    """18 records, and a page of each kind in the place of the first ones of six; behind them an empty one."""

    def answer(number: int, _before: int) -> faults.Fault:
        rows = [*cut(COUNT), []][min(number, 7) - 1]
        kind = kinds[number - 1] if number <= len(kinds) else "good"
        if kind == "gone":
            return faults.status(404)
        if kind == "null":
            return faults.body(b"null", X_Total_Count=str(COUNT))
        rows = {"empty": [], "again": cut(COUNT)[0]}.get(kind, rows)
        return faults.records(rows, X_Total_Count="many" if kind == "odd total" else str(COUNT))

    return answer


async def crawl(pages: Pages, *, limit: int | None = None, batch_rows: int = 50_000) -> Crawler:
    """Of a source that answers late, or never."""
    async with Scripted(pages) as source:
        datasets = {"things": dataset_of(source.url, THREES, concurrency=1)}
        async with crawler_of(
            source.url, allow=source.allow, datasets=datasets, batch_rows=batch_rows, read_timeout_s=30
        ) as crawler:
            parameters = {} if limit is None else {"things": {"limit": limit}}
            await crawler.run({"run_id": "r", "datasets": ["things"], "parameters": parameters})
            return crawler


def interrupt_after_each_answer(patch: pytest.MonkeyPatch) -> None:
    """Each planned request in a try of its own: what a worker knows that is not in the checkpoint is gone."""
    answered: dict[BatchFetcher[ApiSource], int] = {}

    def has_an_answer(fetcher: BatchFetcher[ApiSource]) -> bool:
        return fetcher.writer.requests > answered.setdefault(fetcher, fetcher.writer.requests)

    patch.setattr(batch_fetcher, "WINDOW_PER_SLOT", 1)
    patch.setattr(BatchFetcher, "is_out_of_time", property(has_an_answer))


async def told(crawler: Crawler) -> tuple[list[int], list[str], set[str]]:
    """The records, what is missing, and the warnings."""
    batches = sorted(crawler.batches, key=lambda batch: batch.sequence)
    done = [batch for batch in batches if batch.status == "done"]
    ids = [row["id"] for batch in done for row in await crawler.rows(batch)]
    missing = [page.reason for batch in batches for page in batch.missing]
    return ids, missing, {batch.detail for batch in batches if batch.detail}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    "kinds",
    [
        ("good", "null"),
        ("good", "good", "null"),
        ("null", "null", "good", "null"),
        ("good", "null", "empty"),
        ("good", "good", "null", "empty"),
        ("good", "null", "gone"),
        ("good", "good", "null", "gone", "gone", "gone"),
        ("good", "null", "again"),
        ("good", "null", "null", "null", "null", "null"),
    ],
)
async def test_a_batch_that_goes_on_from_a_checkpoint_after_each_page_tells_the_same(
    monkeypatch: pytest.MonkeyPatch, plan: str, kinds: tuple[Page, ...]
) -> None:
    whole = await crawl(six_pages(*kinds), **PLANS[plan])
    interrupt_after_each_answer(monkeypatch)
    resumed = await crawl(six_pages(*kinds), **PLANS[plan])
    assert len(resumed.units) > len(whole.units), "it was interrupted"
    assert await told(resumed) == await told(whole)


@pytest.mark.parametrize(
    ("kinds", "warning"),
    [
        (("null", "null", "null", "null", "null", "empty"), "0 records: the answer is null, no array"),
        (("good", "odd total"), "the header X-Total-Count gives many, which is not a number of records"),
    ],
)
async def test_a_warning_about_a_page_before_the_checkpoint_stays(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[Page, ...], warning: str
) -> None:
    interrupt_after_each_answer(monkeypatch)
    _, _, warnings = await told(await crawl(six_pages(*kinds)))
    assert warnings == {warning}


@pytest.mark.parametrize(
    ("behind", "missing"),
    [("good", ["page 3"]), ("null", ["page 4"]), ("gone", ["page 4"]), ("empty", [])],
)
async def test_a_page_that_is_only_looked_at_may_come_after_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, behind: Page, missing: list[str]
) -> None:
    pages = six_pages("good", "good", "null", behind)
    hang = faults.hang()
    plan = PLANS["closed, two batches"]
    whole = await crawl(pages, **plan)
    monkeypatch.setattr(batch_fetcher, "BATCH_S", 0.3)
    monkeypatch.setattr(batch_fetcher, "LAST_REQUEST_S", 0.2)
    late = await crawl(lambda page, before: hang if (page, before) == (4, 0) else pages(page, before), **plan)
    assert len(late.units) == len(whole.units) + 1, "it was interrupted"
    assert await told(late) == await told(whole)
    assert [reason.partition(" is ")[0] for reason in (await told(late))[1]] == missing
