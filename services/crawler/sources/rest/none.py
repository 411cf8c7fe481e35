"""Sources that answer everything at once."""

from functools import partial

from services.crawler.adapters.batch_writer import Fetched, no_records_remark
from services.crawler.domain import urls
from services.crawler.domain.fetching import Answer, Failure
from services.crawler.domain.plans import Plan
from services.crawler.domain.records import split_page
from services.crawler.domain.urls import CursorError
from services.crawler.sources.batch_fetcher import Crawl, Request

MORE = "not crawled: the answer names a next page; the dataset file says that there is one answer (pagination: none)"


async def crawl_single(crawl: Crawl, plan: Plan) -> None:
    parse = partial(split_page, path=crawl.source.records_path, most=plan.limit, is_first=True)
    request = Request(urls.single_url(crawl.source), parse, is_page=True)
    await crawl.all([request], partial(_take, crawl, plan))


async def _take(crawl: Crawl, plan: Plan, request: Request, answer: Answer[Fetched] | Failure) -> None:
    await crawl.record(request, answer)
    if isinstance(answer, Failure):
        return
    if answer.value.lacking:
        crawl.writer.remark(no_records_remark(answer.value.lacking))
    if answer.value.rows != plan.limit and (named := _next_of(answer)):
        crawl.writer.miss(named, MORE)


def _next_of(answer: Answer[Fetched]) -> str | None:
    try:
        return urls.next_by_link(answer.headers.get("link", ()), answer.answered_url)
    except CursorError as astray:
        return astray.url
