"""A source whose pages follow a script, and a whole crawl of it."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.support import source as faults
from tests.support.crawler import PAGES, Crawler, crawler_of, dataset_of, things
from tests.support.source import SourceServer

UNSET = {**PAGES, "first": None}


NO_TOTAL = {**PAGES, "total_header": None}


THREES = {**PAGES, "size": 3}


THREES_NO_TOTAL = {**NO_TOTAL, "size": 3}


Pages = Callable[[int, int], faults.Fault | None]
"""The answer to a request for a page (number, how often it was asked for before)."""


class Scripted(SourceServer):
    """`/things`, page by page as a function returns them; a page that it does not know is 404."""

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


async def ids_of(crawler: Crawler) -> list[int]:
    return [row["id"] for m in crawler.batches if m.status == "done" for row in await crawler.rows(m)]


def missing(crawler: Crawler) -> list[str]:
    return [page.reason for manifest in crawler.batches for page in manifest.missing]


def promised(crawler: Crawler) -> int | None:
    """As the ledger counts it: the total in the answers with records, else the number that the plan is made of."""
    told = [m.promised for m in crawler.batches if m.promised is not None]
    return max(told, default=crawler.planned[0].rows)


BATCHES = pytest.mark.parametrize("batch_rows", [3, 6, 50_000])
