"""A batch of pages: planned ones many at once, those behind them one after another to the end."""

from collections.abc import Callable, Iterable
from functools import partial

from yarl import URL

from services.crawler.adapters.batch_writer import Fetched, no_records_remark
from services.crawler.domain import urls
from services.crawler.domain.fetching import Answer, FetchFailure, failure_of
from services.crawler.domain.missing_pages import cut_page, missing_from_page, missing_page
from services.crawler.domain.page_end import (
    FetchedPage,
    is_past_last_page,
    next_page,
    total_header_problem,
    total_of,
)
from services.crawler.domain.records import Records, split_page
from services.crawler.domain.urls import CursorError
from services.crawler.sources.base import BatchContext
from services.crawler.sources.batch_fetcher import OutOfTimeError, SourceRequest
from services.crawler.sources.rest.unconfirmed_pages import UnconfirmedPages
from shared.datasets.model import ApiSource
from shared.datasets.pagination import PagePagination
from shared.events.models import CursorWork

LOOKED_AT = "asked to see whether the page before is the last; another batch records this one"

MAX_EMPTY_PAGES = 100
"""In a row, each of them naming a next."""


class PageBatch:
    """Crawls one batch. A page that finally fails, or names a next one that may not be followed, ends a chain."""

    def __init__(self, batch: BatchContext[PagePagination]) -> None:
        self._batch = batch
        self._fetcher = batch.fetcher
        self._writer = batch.fetcher.writer
        self._plan = batch.plan
        self._pagination = batch.pagination
        self._seen = self._writer.seen
        self._mark = ""
        """Brent's search for a cycle: the page whose number in the chain was the last power of two."""
        self._last_digest = ""
        self._pages = 0
        self._first_position = 0
        self._last: FetchedPage | None = None
        self._by_link = False
        """The first page to follow is one that a link named."""
        self._empty_in_a_row = 0
        self._unconfirmed = UnconfirmedPages(self._writer, self._pagination)
        self._is_short = bool(self._unconfirmed)
        """The last page was, also where the batch goes on from a checkpoint."""
        self._before_limit: set[str] = set()
        """Planned pages of which the limit wants every record."""

    async def crawl_planned(self, *, goes_on: bool) -> CursorWork | None:
        """Crawls the planned pages of a batch, and with `goes_on` the pages behind them.

        Returns the cursor of the next batch; None: this is the end, or a later planned batch finds it. Raises
        `OutOfTimeError` where planned pages are left, or the page behind them that was to be looked at.
        """
        self._first_position = self._plan.first_position(self._batch.sequence)
        await self._fetcher.fetch_all(self._requests(), self._write)
        following = None
        if goes_on and self._last is not None:
            try:
                following = await self._walk(self._next(self._last))
            except CursorError as error:
                await self._fail_chain(error)
        elif self._unconfirmed and not goes_on:
            await self._look_at_next_page()
        self._add_remarks()
        return following

    async def crawl_from(self, work: CursorWork) -> CursorWork | None:
        """Crawls from `work` to the end of the batch. Returns the cursor of the next batch, None at the end of the chain."""
        self._first_position = work.first_position
        self._seen.update(work.seen)
        self._mark, self._last_digest = (work.seen[0], work.seen[-1]) if work.seen else ("", "")
        self._pages, self._is_short, self._by_link = work.pages, work.end_shown, work.by_link
        self._empty_in_a_row = work.empty
        self._writer.promise(work.promised)
        following = None
        try:
            # An event is data of another program, too.
            following = await self._walk(urls.check_cursor(work.url, self._fetcher.source))
        except CursorError as error:
            await self._fail_chain(error)
        self._add_remarks()
        return following

    @property
    def _position(self) -> int:
        return self._first_position + self._writer.rows

    @property
    def _planned_pages(self) -> range:
        """Of the batch, from 1."""
        first = self._batch.sequence * self._plan.requests_per_batch + 1
        return range(first, min(first + self._plan.requests_per_batch, self._plan.requests + 1))

    def _requests(self) -> Iterable[SourceRequest]:
        plan = self._plan
        for page in self._planned_pages:
            parse = self._parse(plan.most_rows(page))
            url = self._planned_url(page)
            if plan.limit is not None and page * plan.page_size < plan.limit:
                self._before_limit.add(url)
            yield SourceRequest(url, parse, is_page=True)

    def _planned_url(self, page: int) -> str:
        plan = self._plan
        return page_url(self._fetcher.source, self._pagination, page - 1 + plan.first_page, plan.page_size)

    def _parse(self, most: int | None) -> Callable[[bytes], Records]:
        is_strict = self._pagination.no_array == "fault"
        return partial(split_page, path=self._fetcher.source.records_path, most=most, is_strict=is_strict)

    async def _write(self, request: SourceRequest, answer: Answer[Fetched] | FetchFailure) -> None:
        if isinstance(answer, FetchFailure):
            self._unconfirmed.mark_missing()
            reason = missing_page(answer.url, self._pagination.page_param, answer.detail)
            await self._writer.add_failure(answer, is_page=True, missing_reason=reason)
            self._last = None
            return
        await self._add(answer, by_link=False)
        if answer.value.is_cut and request.url in self._before_limit:
            self._writer.miss(
                request.url, cut_page(request.url, self._pagination.page_param, self._plan.page_size)
            )

    async def _walk(self, url: str | None) -> CursorWork | None:
        """Pages from `url` on, one after another, to the end of the batch. Raises `CursorError`."""
        asked: set[str] = set()
        is_beyond = False
        while url is not None:
            # Behind a shown end no page is expected: it does not get a batch of its own.
            is_open = is_beyond or not (self._is_short or self._total_reached)
            if self._batch.is_full and is_open and not self._unconfirmed:
                return self._cursor(url)
            is_beyond = self._batch.is_full
            if url in asked:
                raise CursorError(url, "the chain of pages leads back to where it was")
            asked.add(url)
            try:
                following = await self._page(url)
            except OutOfTimeError:
                # The next batch does not know them, and the page behind them may have records.
                self._unconfirmed.mark_missing()
                return self._cursor(url)
            url = following
        return None

    @property
    def _total_reached(self) -> bool:
        """A total that is below the number of records is wrong and never reached."""
        return self._position == self._writer.promised

    def _cursor(self, url: str) -> CursorWork:
        """Raises `CursorError`."""
        self._batch.refuse_endless(url)
        return CursorWork(
            url=url,
            first_position=self._position,
            seen=tuple(digest for digest in (self._mark, self._last_digest) if digest),
            pages=self._pages,
            promised=self._writer.promised,
            end_shown=self._is_short,
            by_link=self._is_linked(url),
            empty=self._empty_in_a_row,
        )

    async def _page(self, url: str) -> str | None:
        """Writes a page and finds the URL of the next one. Raises `CursorError`."""
        most = None if self._plan.limit is None else self._plan.limit - self._position
        if most is not None and most <= 0:
            return None
        by_link = self._is_linked(url)
        answer = await self._fetcher.fetch(SourceRequest(url, self._parse(most), is_page=True))
        if isinstance(answer, FetchFailure):
            await self._fail(answer)
            return None
        try:
            is_new = await self._add(answer, by_link=by_link)
        finally:
            answer.value.lines.close()
        if not is_new or self._last is None or answer.value.rows == most:
            return None
        return self._next(self._last)

    def _is_linked(self, url: str) -> bool:
        if self._last is None:
            return self._by_link
        return url != _numbered_after(self._last, self._pagination)

    async def _look_at_next_page(self) -> None:
        """Fetches the first page of the next batch, only to see whether it has records. Raises `OutOfTimeError`."""
        url = self._planned_url(self._planned_pages.stop)
        answer = await self._fetcher.fetch(SourceRequest(url, self._parse(most=1), is_page=True))
        if isinstance(answer, FetchFailure):
            goes_on = not self._is_past_last_page(answer)
        else:
            goes_on = answer.value.rows > 0
            answer.value.lines.close()
        await self._writer.add_end(failure_of(url, LOOKED_AT, answer.status))
        if goes_on:
            self._unconfirmed.mark_missing()

    def _is_past_last_page(self, failure: FetchFailure) -> bool:
        return is_past_last_page(
            failure, self._pagination, after_short=self._is_short, total_reached=self._total_reached
        )

    async def _fail(self, failure: FetchFailure) -> None:
        if self._is_past_last_page(failure):
            await self._writer.add_end(failure)
            return
        self._unconfirmed.mark_missing()
        if failure.status is not None and 400 <= failure.status < 500 and self._writer.rows:  # noqa: PLR2004 - client errors
            hint = f"{failure.detail}; if the source ends this way: end_statuses: [{failure.status}]"
            failure = failure_of(failure.url, hint, failure.status)
        reason = missing_from_page(failure.url, self._pagination.page_param, failure.detail)
        await self._writer.add_failure(failure, is_page=True, missing_reason=reason)

    async def _add(self, answer: Answer[Fetched], *, by_link: bool) -> bool:
        """Writes a page. False: it came before, and none of it is written."""
        fetched = answer.value
        total = total_of(answer, self._pagination)
        limit = self._plan.limit
        self._writer.promise(total if total is None or limit is None else min(total, limit))
        self._writer.total_problem = self._writer.total_problem or total_header_problem(
            answer, self._pagination
        )
        if fetched.rows and not self._seen.isdisjoint(fetched.digests):
            await self._add_repeated(answer)
            self._last = None
            return False
        await self._writer.add(answer)
        if limit is not None and self._position >= limit:
            self._writer.promise(limit)  # the source had that many: if some came twice, others are missing
        self._remember(fetched)
        self._unconfirmed.add(answer)
        if fetched.rows or not self._total_reached:
            self._writer.lacking = self._writer.lacking or fetched.lacking
        self._last = FetchedPage(
            answer.url, answer.answered_url, fetched.rows, answer.headers.get("link", ()), by_link=by_link
        )
        is_only = self._position == fetched.rows and fetched.rows < self._pagination.size
        self._is_short = fetched.rows < self._plan.page_size or is_only
        return True

    async def _add_repeated(self, answer: Answer[Fetched]) -> None:
        parameter = self._pagination.page_param
        detail = (
            f"the page is the same as one before: does the source know the parameter {parameter}? "
            "If it ends this way: repeats: end"
        )
        page = failure_of(answer.url, detail, answer.status)
        is_end = self._pagination.repeats == "end" or self._total_reached
        if not is_end:
            self._unconfirmed.mark_missing()
        await (self._writer.add_end if is_end else self._writer.add_missing)(page)

    def _remember(self, fetched: Fetched) -> None:
        if not fetched.rows:
            return
        self._pages += 1
        self._last_digest = fetched.digests[-1]
        if self._pages & (self._pages - 1) == 0:
            self._mark = fetched.digests[-1]
        self._seen.update(fetched.digests)

    def _next(self, page: FetchedPage) -> str | None:
        """Raises `CursorError`."""
        self._empty_in_a_row = 0 if page.rows else self._empty_in_a_row + 1
        if self._empty_in_a_row >= MAX_EMPTY_PAGES:
            raise CursorError(page.url, f"{MAX_EMPTY_PAGES} pages in a row are empty and name a next one")
        following = next_page(
            page,
            self._fetcher.source,
            self._pagination,
            page_size=self._plan.page_size,
            came=self._position,
            promised=self._writer.promised,
        )
        if following is None and len(self._unconfirmed) == 1:
            return self._page_after_unconfirmed(page)
        return following

    def _page_after_unconfirmed(self, page: FetchedPage) -> str | None:
        """The page after one without an array. A page that a link led to has no number, so it is missing."""
        if page.by_link:
            self._unconfirmed.mark_missing()
            return None
        following = urls.next_by_number(page.url, self._pagination.page_param)
        return urls.check_cursor(following, self._fetcher.source)

    async def _fail_chain(self, error: CursorError) -> None:
        self._unconfirmed.mark_missing()
        reason = missing_from_page(error.url, self._pagination.page_param, str(error))
        await self._writer.add_failure(failure_of(error.url, str(error)), is_page=True, missing_reason=reason)

    def _add_remarks(self) -> None:
        if self._writer.lacking and self._position == 0:
            self._writer.remark(no_records_remark(self._writer.lacking))
        if self._writer.total_problem is not None:
            self._writer.remark(self._writer.total_problem)


def _numbered_after(page: FetchedPage, pagination: PagePagination) -> str | None:
    try:
        return urls.next_by_number(page.url, pagination.page_param)
    except CursorError:
        return None


def page_url(source: ApiSource, pagination: PagePagination, number: int, size: int) -> str:
    """`number` is the source's own number of the page."""
    query = {pagination.page_param: str(number), pagination.size_param: str(size)}
    return str(URL(f"{source.base_url}{source.path}").update_query(query))
