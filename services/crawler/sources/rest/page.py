"""Numbered pages, or pages that name the next one.

With a total that can be believed the pages are planned ahead, and the crawl goes on behind the last planned one. Without,
each batch ends at a cursor.
"""

import asyncio
from dataclasses import replace
from functools import partial

from services.crawler.domain import plans, urls
from services.crawler.domain.fetching import RETRIED_STATUSES, Answer, FetchFailure, failure_of
from services.crawler.domain.page_end import PAST_LAST_PAGE, total_of
from services.crawler.domain.plans import CrawlPlan
from services.crawler.domain.records import Records, first_lines, split_page
from services.crawler.sources.base import BatchContext, PaginationKind, PlanContext
from services.crawler.sources.rest.links import next_link_of
from services.crawler.sources.rest.page_batch import PageBatch, page_url
from shared.datasets.pagination import PagePagination
from shared.events.models import CursorWork

REFUSED = frozenset(range(400, 500)) - RETRIED_STATUSES
BROKEN = frozenset({500, 501})
"""How sources answer for a page that they do not have. Other statuses do not tell whether there is one."""

COMPARED_ROWS = 1000
"""Of a page, to tell whether another holds the same."""


async def plan(context: PlanContext[PagePagination]) -> CrawlPlan:
    """Two requests at most."""
    pagination, limit = context.pagination, context.limit
    run_id, dataset = context.run_id, context.dataset.name
    answer, first, rows_after = await _first_page(context)
    if isinstance(answer, FetchFailure):
        return context.failed(answer)
    url, seen = answer.url, answer.value.rows
    total = total_of(answer, pagination)
    is_array = not answer.value.lacking
    if total == 0 and seen == 0 and is_array and next_link_of(answer) is None:
        return plans.plan_nothing(run_id, dataset, limit=limit)
    if not total or total < seen + rows_after or _follows_links(answer, pagination, first):
        # What page 1 holds is a full page, so that a source with smaller pages than asked for is not cut short.
        size = min(seen, pagination.size) or pagination.size
        rows = total if total is None or limit is None else min(total, limit)
        return plans.plan_chain(run_id, dataset, first_url=url, page_size=size, limit=limit, rows=rows)
    # A source may cap the size, or ignore it: then what it sends is the page size.
    size = max(pagination.size, seen) if seen == total else seen or pagination.size
    try:
        return plans.plan_pages(
            run_id,
            dataset,
            total=total,
            page_size=size,
            limit=limit,
            requests_per_second=context.source.requests_per_second,
            batch_rows=context.batch_rows,
            first_page=first,
        )
    except plans.UnbelievableError as error:
        return context.too_large(url, error)


async def crawl(batch: BatchContext[PagePagination]) -> CursorWork | None:
    pages = PageBatch(batch)
    if isinstance(batch.work, CursorWork):
        return await pages.crawl_from(batch.work)
    return await pages.crawl_planned(goes_on=batch.plan.is_last_known(batch.sequence))


async def _first_page(
    context: PlanContext[PagePagination],
) -> tuple[Answer[Records] | FetchFailure, int, int]:
    """The first page, its number, and the rows of the page after it where that was fetched.

    Where the file does not name the number, page 0 is fetched too.
    """
    pagination = context.pagination
    number = 1 if pagination.first is None else pagination.first
    answer = await _page(context, number)
    if pagination.first is not None:
        return answer, number, 0
    if isinstance(answer, FetchFailure):
        if answer.status not in PAST_LAST_PAGE:
            return answer, number, 0
        page_0 = await _page(context, 0)
        return (answer, number, 0) if isinstance(page_0, FetchFailure) else (page_0, 0, 0)
    rows, lines = answer.value.rows, first_lines(answer.value.data, COMPARED_ROWS)
    # Two bodies at once would be one too many.
    answer = replace(answer, value=replace(answer.value, data=b""))
    page_0 = await _page(context, 0)
    if isinstance(page_0, FetchFailure):
        return (answer, 1, 0) if _has_no_page_0(page_0, rows) else (_explained(page_0), 0, 0)
    # A page 0 that promises records counts where page 1 has none either.
    promises = rows == 0 and total_of(page_0, pagination)
    if promises or await asyncio.to_thread(_differs, page_0.value, lines):
        return page_0, 0, rows
    return answer, 1, 0


async def _page(context: PlanContext[PagePagination], number: int) -> Answer[Records] | FetchFailure:
    url = page_url(context.source, context.pagination, number, context.pagination.size)
    parse = partial(split_page, path=context.source.records_path, is_first=True)
    return await context.fetch(context.source, url, parse, context.folder)


def _has_no_page_0(page_0: FetchFailure, rows_of_page_1: int) -> bool:
    """Whether the status means that there is no page 0; where page 1 has records, any refusal does, and an error too."""
    status = page_0.status or 0
    return status in PAST_LAST_PAGE if rows_of_page_1 == 0 else status in REFUSED | BROKEN


def _explained(page_0: FetchFailure) -> FetchFailure:
    hint = f"{page_0.detail}; it was requested to find the first page: write `first: 1` if there is no page 0"
    return failure_of(page_0.url, hint, page_0.status)


def _differs(page: Records, following: list[bytes]) -> bool:
    """Whether a page with records differs from the one after it, even if the source moved between the two requests."""
    if page.rows == 0:
        return False
    lines = set(first_lines(page.data, COMPARED_ROWS))
    return 2 * sum(line in lines for line in following) < max(1, len(following))


def _follows_links(answer: Answer[Records], pagination: PagePagination, first: int) -> bool:
    """Whether the next page has another address than its number: then pages cannot be planned by number."""
    try:
        named = urls.next_by_link(answer.headers.get("link", ()), answer.answered_url)
    except urls.CursorError:
        return True
    return named is not None and urls.page_number(named, pagination.page_param) != first + 1


KIND = PaginationKind(PagePagination, plan, crawl)
