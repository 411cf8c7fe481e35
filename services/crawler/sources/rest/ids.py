"""Sources that list ids: one request per id."""

from collections.abc import Iterable, Sequence

from services.crawler.domain import urls
from services.crawler.domain.plans import Plan
from services.crawler.domain.records import split_item
from services.crawler.sources.batch_fetcher import Crawl, Request
from shared.datasets.model import IdListPagination

MORE = "not crawled: the list of ids names a next page, and it is read as one"


async def crawl_ids(
    crawl: Crawl, plan: Plan, pagination: IdListPagination, ids: Sequence[int | str], sequence: int
) -> None:
    await crawl.all(_requests(crawl, pagination, ids))
    if plan.more is not None and sequence == 0:
        crawl.writer.miss(plan.more, MORE)


def _requests(crawl: Crawl, pagination: IdListPagination, ids: Sequence[int | str]) -> Iterable[Request]:
    for identity in ids:
        yield Request(urls.item_url(crawl.source, pagination, identity), split_item, is_page=False)
