"""Asks a source how much there is, and makes the dataset's plan of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from services.crawler.adapters.id_file import IdFile, pieces_of, write_ids
from services.crawler.domain import plans, urls
from services.crawler.domain.fetching import RETRIED_STATUSES, Answer, Failure, Fetch, failure_of
from services.crawler.domain.page_end import PAST_LAST_PAGE, total_of
from services.crawler.domain.plans import Plan, PlanFailure
from services.crawler.domain.records import Records, first_lines, split_page
from shared.datasets.model import ApiSource, Dataset, IdListPagination, PagePagination
from shared.events.models import CrawlRequest
from shared.reasons import Reason
from shared.stages.scratch import scratch_folder

REFUSED = frozenset(range(400, 500)) - RETRIED_STATUSES
BROKEN = frozenset({500, 501})
"""How sources answer for a page that they do not have. Other statuses are no answer to that question."""

COMPARED_ROWS = 1000
"""Of a page, to tell whether another holds the same."""


KeepIds = Callable[[str, str, bytes], Awaitable[str]]
"""Keeps a piece of the ids of a run's dataset; durable when it returns the hash that names it."""


class Planner:
    def __init__(self, fetch: Fetch, keep_ids: KeepIds, batch_rows: int) -> None:
        self._fetch = fetch
        self._keep_ids = keep_ids
        self._batch_rows = batch_rows

    async def make(self, request: CrawlRequest, dataset: Dataset) -> Plan:
        """Two requests to the source at most. A source that does not answer gives a failed plan, no error."""
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
        answer = await self._fetch(source, url, partial(write_ids, file=folder / "ids", limit=limit), folder)
        if isinstance(answer, Failure):
            return _failed(run_id, dataset, answer)
        try:
            plan = plans.plan_ids(
                run_id,
                dataset.name,
                count=answer.value.count,
                limit=limit,
                more=_next_of(answer),
                requests_per_second=source.requests_per_second,
            )
        except plans.UnbelievableError as error:
            return _unbelievable(run_id, dataset, url, error)
        return await self._with_ids(plan, answer.value)

    async def _with_ids(self, plan: Plan, listed: IdFile) -> Plan:
        """A long list goes into pieces, which are durable before the plan names them."""
        batches = listed.batches(plan.requests_per_batch)
        if listed.size <= plans.IDS_IN_PLAN_BYTES:
            ids = await asyncio.to_thread(lambda: tuple(batch.decode() for batch in batches))
            return plan.model_copy(update={"ids": ids})
        pieces: list[plans.IdPiece] = []
        first, cut = 0, pieces_of(batches)
        while (piece := await asyncio.to_thread(next, cut, None)) is not None:
            sha256 = await self._keep_ids(plan.run_id, plan.dataset, b"\n".join(piece))
            pieces.append(plans.IdPiece(first=first, sha256=sha256))
            first += len(piece)
        return plan.model_copy(update={"pieces": tuple(pieces)})

    async def _by_pages(
        self, run_id: str, dataset: Dataset, pagination: PagePagination, limit: int | None, folder: Path
    ) -> Plan:
        answer, first, more = await self._first_page(dataset.source, pagination, folder)
        if isinstance(answer, Failure):
            return _failed(run_id, dataset, answer)
        url, seen = answer.url, answer.value.rows
        total = total_of(answer, pagination)
        if total == 0 and seen == 0 and _next_of(answer) is None:
            return plans.plan_nothing(run_id, dataset.name, limit=limit)
        if not total or total < seen + more or _is_led_by_links(answer, pagination, first):
            # What page 1 holds is a full page, so that a source with smaller pages than asked for is not cut short.
            size = min(seen, pagination.size) or pagination.size
            rows = total if total is None or limit is None else min(total, limit)
            return plans.plan_chain(
                run_id, dataset.name, first_url=url, page_size=size, limit=limit, rows=rows
            )
        # A source may cap the size, or ignore it: then what it sends is the page size.
        size = max(pagination.size, seen) if seen == total else seen or pagination.size
        try:
            return plans.plan_pages(
                run_id,
                dataset.name,
                total=total,
                page_size=size,
                limit=limit,
                requests_per_second=dataset.source.requests_per_second,
                batch_rows=self._batch_rows,
                first_page=first,
            )
        except plans.UnbelievableError as error:
            return _unbelievable(run_id, dataset, url, error)

    async def _first_page(
        self, source: ApiSource, pagination: PagePagination, folder: Path
    ) -> tuple[Answer[Records] | Failure, int, int]:
        """The first page, its number, and the rows that were seen behind it.

        Where the file does not say the number, page 0 is looked at too.
        """
        number = 1 if pagination.first is None else pagination.first
        answer = await self._page(source, pagination, number, folder)
        if pagination.first is not None:
            return answer, number, 0
        if isinstance(answer, Failure):
            if answer.status not in PAST_LAST_PAGE:
                return answer, number, 0
            before = await self._page(source, pagination, 0, folder)
            return (answer, number, 0) if isinstance(before, Failure) else (before, 0, 0)
        rows, lines = answer.value.rows, first_lines(answer.value.data, COMPARED_ROWS)
        answer = replace(answer, value=Records(b"", rows))  # two bodies at once would be one too many
        before = await self._page(source, pagination, 0, folder)
        if isinstance(before, Failure):
            return (answer, 1, 0) if _says_no(before, rows) else (_explained(before), 0, 0)
        if await asyncio.to_thread(_is_another, before.value, lines):
            return before, 0, rows
        return answer, 1, 0

    async def _page(
        self, source: ApiSource, pagination: PagePagination, number: int, folder: Path
    ) -> Answer[Records] | Failure:
        url = urls.page_url(source, pagination, number, pagination.size)
        return await self._fetch(
            source, url, partial(split_page, path=source.records_path, is_first=True), folder
        )


def _says_no(page_0: Failure, rows_of_page_1: int) -> bool:
    """Whether the source says that it has no page 0: it refuses it, or breaks on it and has a page 1."""
    status = page_0.status or 0
    return status in REFUSED if rows_of_page_1 == 0 else status in REFUSED | BROKEN


def _explained(page_0: Failure) -> Failure:
    hint = f"{page_0.detail}; it was asked for to see where the pages begin: `first: 1` says that there is no page 0"
    return failure_of(page_0.url, hint, page_0.status)


def _is_another(page: Records, following: list[bytes]) -> bool:
    """Whether a page with records is not the same as the one after it, be it that the source moved in between."""
    if page.rows == 0:
        return False
    lines = set(first_lines(page.data, COMPARED_ROWS))
    return 2 * sum(line in lines for line in following) < max(1, len(following))


def _is_led_by_links(answer: Answer[Records], pagination: PagePagination, first: int) -> bool:
    """Whether the next page has another address than its number: then numbers lead nowhere."""
    try:
        named = urls.next_by_link(answer.headers.get("link", ()), answer.answered_url)
    except urls.CursorError:
        return True
    return named is not None and urls.page_number(named, pagination.page_param) != first + 1


def _next_of(answer: Answer[object]) -> str | None:
    """The next page that an answer names, be it one that may not be asked for."""
    try:
        return urls.next_by_link(answer.headers.get("link", ()), answer.answered_url)
    except urls.CursorError as astray:
        return astray.url


def _failed(run_id: str, dataset: Dataset, failure: Failure) -> Plan:
    why = PlanFailure(url=failure.url[: urls.MAX_URL_CHARS], reason=Reason.FETCH, detail=failure.detail)
    return plans.failed_plan(run_id, dataset.name, why)


def _unbelievable(run_id: str, dataset: Dataset, url: str, error: plans.UnbelievableError) -> Plan:
    why = PlanFailure(url=url[: urls.MAX_URL_CHARS], reason=Reason.TOO_LARGE, detail=str(error))
    return plans.failed_plan(run_id, dataset.name, why)
