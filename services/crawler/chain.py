"""Sources that tell only page by page where to go on. One request at a time: that is how they are read."""

import hashlib
from functools import partial

from services.crawler.crawling import Crawl, Request
from services.crawler.domain import plans, urls
from services.crawler.domain.fetching import Answer, Failure, failure_of
from services.crawler.domain.plans import Plan
from services.crawler.domain.records import split_page
from services.crawler.domain.urls import CursorError
from services.crawler.recorder import Fetched
from shared.events.models import CursorWork


class Chain:
    """A batch of a chain. A page that finally fails, or leads astray, is recorded as failed and ends the chain."""

    def __init__(self, crawl: Crawl, plan: Plan, page_param: str, batch_rows: int) -> None:
        self._crawl = crawl
        self._recorder = crawl.recorder
        self._plan = plan
        self._page_param = page_param
        self._batch_rows = batch_rows
        self._last_page = b""

    async def follow(self, work: CursorWork, sequence: int) -> CursorWork | None:
        """Crawls from `work` to the end of the batch: the cursor to go on from, None at the end of the chain."""
        try:
            urls.check_cursor(work.url, self._crawl.source)  # an event is foreign data too
            url = await self._follow(work)
            _check_length(url, sequence)
        except CursorError as astray:
            await self._recorder.add_failure(failure_of(astray.url, str(astray)), is_page=True)
            return None
        return (
            None
            if url is None
            else CursorWork(url=url, first_position=work.first_position + self._recorder.rows)
        )

    async def _follow(self, work: CursorWork) -> str | None:
        """The first URL of the next batch. Raises `CursorError`."""
        seen = {work.url}
        url = work.url
        while self._recorder.rows < self._batch_rows and self._recorder.requests < plans.BATCH_REQUESTS:
            following = await self._page(url, work.first_position + self._recorder.rows)
            if following is None:
                return None
            if following in seen:
                raise CursorError(following, "the chain of pages leads back to where it was")
            seen.add(following)
            url = following
        return url

    async def _page(self, url: str, position: int) -> str | None:
        """Records a page and finds the next one's URL. Raises `CursorError`."""
        most = None if self._plan.limit is None else self._plan.limit - position
        parse = partial(split_page, path=self._crawl.source.records_path, most=most)
        answer = await self._crawl.ask(Request(url, parse, is_page=True))
        if isinstance(answer, Failure):
            await self._recorder.add_failure(answer, is_page=True)
            return None
        try:
            self._check_is_new(answer)
            await self._recorder.add(answer)
        finally:
            answer.value.lines.close()
        return None if answer.value.rows == most else self._next(answer)

    def _check_is_new(self, answer: Answer[Fetched]) -> None:
        """Some sources answer a page number beyond their end with the last page, for ever."""
        if answer.value.rows:
            page = _digest(answer.value)
            if page == self._last_page:
                raise CursorError(answer.url, "the source sends the same page again")
            self._last_page = page

    def _next(self, answer: Answer[Fetched]) -> str | None:
        if links := answer.headers.get("link"):
            following = urls.next_by_link(links, answer.answered_url)
        elif answer.value.rows and answer.value.rows >= self._plan.page_size:
            following = urls.next_by_number(answer.url, self._page_param)
        else:
            return None
        return None if following is None else urls.check_cursor(following, self._crawl.source)


def _check_length(url: str | None, sequence: int) -> None:
    if url is not None and sequence + 1 >= plans.MAX_CHAIN_BATCHES:
        raise CursorError(url, f"the chain of pages has no end within {plans.MAX_CHAIN_BATCHES} batches")


def _digest(fetched: Fetched) -> bytes:
    digest = hashlib.sha256()
    for block in fetched.lines.blocks():
        digest.update(block)
    return digest.digest()
