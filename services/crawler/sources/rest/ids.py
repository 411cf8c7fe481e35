"""A list of ids: one request for the list, then one per id."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from urllib.parse import quote

from yarl import URL

from services.crawler.adapters.id_file import IdFile, pieces_of, write_ids
from services.crawler.domain import plans
from services.crawler.domain.fetching import FetchFailure
from services.crawler.domain.plans import CrawlPlan, IdPiece
from services.crawler.domain.records import split_item
from services.crawler.sources.base import BatchContext, PaginationKind, PlanContext
from services.crawler.sources.batch_fetcher import SourceRequest
from services.crawler.sources.rest.links import next_link_of
from shared.datasets.model import ApiSource
from shared.datasets.pagination import IdListPagination
from shared.events.models import CursorWork

NEXT_PAGE_NAMED = "not crawled: the list of ids names a next page, and it is read as one"


async def plan(context: PlanContext[IdListPagination]) -> CrawlPlan:
    source, limit = context.source, context.limit
    url = list_url(source, context.pagination)
    write = partial(write_ids, file=context.folder / "ids", limit=limit)
    answer = await context.fetch(source, url, write, context.folder)
    if isinstance(answer, FetchFailure):
        return context.failed(answer)
    try:
        made = plans.plan_ids(
            context.run_id,
            context.dataset.name,
            count=answer.value.count,
            limit=limit,
            more=next_link_of(answer),
            requests_per_second=source.requests_per_second,
        )
    except plans.UnbelievableError as error:
        return context.too_large(url, error)
    return await _with_ids(context, made, answer.value)


async def _with_ids(context: PlanContext[IdListPagination], made: CrawlPlan, listed: IdFile) -> CrawlPlan:
    """The plan with its ids. A long list goes into pieces, which are durable before the plan names them."""
    batches = listed.batches(made.requests_per_batch)
    if listed.size <= plans.IDS_IN_PLAN_BYTES:
        ids = await asyncio.to_thread(lambda: tuple(batch.decode() for batch in batches))
        return made.model_copy(update={"ids": ids})
    pieces: list[IdPiece] = []
    first, cut = 0, pieces_of(batches)
    while (piece := await asyncio.to_thread(next, cut, None)) is not None:
        sha256 = await context.ids.put_ids(made.run_id, made.dataset, b"\n".join(piece))
        pieces.append(IdPiece(first=first, sha256=sha256))
        first += len(piece)
    return made.model_copy(update={"pieces": tuple(pieces)})


async def crawl(batch: BatchContext[IdListPagination]) -> CursorWork | None:
    if not batch.plan.requests:
        return None
    fetcher = batch.fetcher
    ids = await batch.ids.ids_of(batch.plan, batch.sequence)
    await fetcher.fetch_all(_requests(fetcher.source, batch.pagination, ids))
    if batch.plan.more is not None and batch.sequence == 0:
        fetcher.writer.miss(batch.plan.more, NEXT_PAGE_NAMED)
    return None


def _requests(
    source: ApiSource, pagination: IdListPagination, ids: Sequence[int | str]
) -> Iterable[SourceRequest]:
    for item_id in ids:
        yield SourceRequest(item_url(source, pagination, item_id), split_item, is_page=False)


def list_url(source: ApiSource, pagination: IdListPagination) -> str:
    return str(URL(f"{source.base_url}{pagination.list_path}"))


def item_url(source: ApiSource, pagination: IdListPagination, item_id: int | str) -> str:
    return source.base_url + pagination.item_path.replace("{id}", quote(str(item_id), safe=""))


KIND = PaginationKind(IdListPagination, plan, crawl)
