"""No pagination: one request answers everything."""

from functools import partial

from yarl import URL

from services.crawler.adapters.batch_writer import Fetched, no_records_remark
from services.crawler.domain.fetching import Answer, FetchFailure
from services.crawler.domain.plans import CrawlPlan, plan_single
from services.crawler.domain.records import split_page
from services.crawler.sources.base import BatchContext, PaginationKind, PlanContext
from services.crawler.sources.batch_fetcher import SourceRequest
from services.crawler.sources.rest.links import next_link_of
from shared.datasets.model import ApiSource
from shared.datasets.pagination import NoPagination
from shared.events.models import CursorWork

NEXT_PAGE_NAMED = (
    "not crawled: the answer names a next page; the dataset file declares a single answer (pagination: none)"
)


async def plan(context: PlanContext[NoPagination]) -> CrawlPlan:
    return plan_single(context.run_id, context.dataset.name, limit=context.limit)


async def crawl(batch: BatchContext[NoPagination]) -> CursorWork | None:
    if not batch.plan.requests:
        return None
    fetcher, limit = batch.fetcher, batch.plan.limit
    parse = partial(split_page, path=fetcher.source.records_path, most=limit, is_first=True)

    async def write(request: SourceRequest, answer: Answer[Fetched] | FetchFailure) -> None:
        await fetcher.write(request, answer)
        if isinstance(answer, FetchFailure):
            return
        if answer.value.lacking:
            fetcher.writer.remark(no_records_remark(answer.value.lacking))
        if answer.value.rows != limit and (following := next_link_of(answer)):
            fetcher.writer.miss(following, NEXT_PAGE_NAMED)

    await fetcher.fetch_all([SourceRequest(url_of(fetcher.source), parse, is_page=True)], write)
    return None


def url_of(source: ApiSource) -> str:
    return str(URL(f"{source.base_url}{source.path}"))


KIND = PaginationKind(NoPagination, plan, crawl)
