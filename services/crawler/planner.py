"""Asks a source how much there is, and makes the dataset's plan of it."""

import asyncio
from functools import partial
from pathlib import Path

from services.crawler.domain import plans, urls
from services.crawler.domain.fetching import Answer, Failure, Fetch
from services.crawler.domain.plans import Plan, PlanFailure
from services.crawler.domain.records import Records, read_ids, split_page
from shared.batches.batches import scratch_folder
from shared.datasets.model import Dataset, IdListPagination, PagePagination
from shared.events.models import CrawlRequest
from shared.events.reasons import Reason

MAX_TOTAL_DIGITS = 18


class Planner:
    def __init__(self, fetch: Fetch, batch_rows: int) -> None:
        self._fetch = fetch
        self._batch_rows = batch_rows

    async def make(self, request: CrawlRequest, dataset: Dataset) -> Plan:
        """One request to the source at most. A source that does not answer gives a failed plan, no error."""
        parameters = request.parameters.get(dataset.name)
        limit = parameters.limit if parameters else None
        pagination = dataset.source.pagination
        if limit == 0:
            return plans.plan_nothing(request.run_id, dataset.name, limit=0)
        if pagination.kind == "none":
            return plans.plan_single(request.run_id, dataset.name, limit=limit)
        with scratch_folder() as folder:
            if pagination.kind == "ids":
                return await self._by_ids(request.run_id, dataset, pagination, limit, folder)
            return await self._by_pages(request.run_id, dataset, pagination, limit, folder)

    async def _by_ids(
        self, run_id: str, dataset: Dataset, pagination: IdListPagination, limit: int | None, folder: Path
    ) -> Plan:
        source = dataset.source
        url = urls.list_url(source, pagination)
        answer = await self._fetch(source, url, read_ids, folder)
        if isinstance(answer, Failure):
            return _failed(run_id, dataset, answer)
        try:
            return await asyncio.to_thread(
                plans.plan_ids,
                run_id,
                dataset.name,
                ids=answer.value,
                limit=limit,
                requests_per_second=source.requests_per_second,
            )
        except plans.UnbelievableError as error:
            return _unbelievable(run_id, dataset, url, error)

    async def _by_pages(
        self, run_id: str, dataset: Dataset, pagination: PagePagination, limit: int | None, folder: Path
    ) -> Plan:
        source = dataset.source
        url = urls.page_url(source, pagination, 1, pagination.size)
        parse = partial(split_page, path=source.records_path)
        answer = await self._fetch(source, url, parse, folder)
        if isinstance(answer, Failure):
            return _failed(run_id, dataset, answer)
        total, seen = _total(answer, pagination), answer.value.rows
        if total is None:
            # What page 1 holds is a full page, so that a source with smaller pages than asked for is not cut short.
            size = min(seen, pagination.size) or pagination.size
            return plans.plan_chain(run_id, dataset.name, first_url=url, page_size=size, limit=limit)
        if total == 0:
            return plans.plan_nothing(run_id, dataset.name, limit=limit)
        # A source may cap the size, or ignore it: then what it sends is the page size.
        size = max(pagination.size, seen) if seen == total else seen or pagination.size
        try:
            return plans.plan_pages(
                run_id,
                dataset.name,
                total=total,
                page_size=size,
                limit=limit,
                requests_per_second=source.requests_per_second,
                batch_rows=self._batch_rows,
            )
        except plans.UnbelievableError as error:
            return _unbelievable(run_id, dataset, url, error)


def _total(answer: Answer[Records], pagination: PagePagination) -> int | None:
    """None where the source does not say how many records there are, or says what cannot be."""
    if pagination.total_header is None:
        return None
    text = (answer.header(pagination.total_header) or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_TOTAL_DIGITS):
        return None
    total = int(text)
    return total if total >= answer.value.rows else None


def _failed(run_id: str, dataset: Dataset, failure: Failure) -> Plan:
    why = PlanFailure(url=failure.url[: urls.MAX_URL_CHARS], reason=Reason.FETCH, detail=failure.detail)
    return plans.failed_plan(run_id, dataset.name, why)


def _unbelievable(run_id: str, dataset: Dataset, url: str, error: plans.UnbelievableError) -> Plan:
    why = PlanFailure(url=url[: urls.MAX_URL_CHARS], reason=Reason.TOO_LARGE, detail=str(error))
    return plans.failed_plan(run_id, dataset.name, why)
