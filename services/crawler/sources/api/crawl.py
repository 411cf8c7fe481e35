"""A batch of a source of written requests: planned units many at once, or chains of pages one after the other."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.crawler.adapters.batch_writer import Fetched, no_records_remark
from services.crawler.domain import plans
from services.crawler.domain.fetching import Answer, FetchFailure, failure_of
from services.crawler.domain.plans import CrawlPlan
from services.crawler.domain.requests.page_reader import is_before
from services.crawler.domain.requests.steps import Place, first_place, following_place, is_end_by_status
from services.crawler.domain.requests.units import Unit
from services.crawler.domain.urls import CursorError
from services.crawler.http.api_client import LongWaitError
from services.crawler.sources.api.context import FetchedPage, Requests, dump_mark, spooled
from services.crawler.sources.base import IdStore
from services.crawler.sources.batch_fetcher import (
    BatchFetcher,
    OutOfTimeError,
    SourceRequest,
    SourceWaitsError,
)
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.moments import Moment, read_start, write_moment
from shared.events.models import MAX_TEXT_CHARS, CursorWork

MAX_EMPTY_PAGES = 100
"""In a row, each of them naming a next."""

AHEAD = 20
"""First pages of later units that are asked for while one is read, at most."""


@dataclass(slots=True)
class ChainState:
    """Where the chains of a run are: the content of `CursorWork.state`."""

    unit: int = 0
    place: dict[str, Any] = field(default_factory=dict)
    came: int = 0
    """Records of the unit, as they came."""
    rows: int = 0
    """Records of the page before."""
    pages: int = 0
    empty: int = 0
    seen: list[str] = field(default_factory=list)
    """Digests of earlier pages of the unit (Brent): one of them that comes again shows a cycle."""
    mark: str | int | None = None
    token: Any = None

    def dump(self) -> str:
        """Raises `CursorError` where it is too long for an event."""
        text = json.dumps({name: getattr(self, name) for name in self.__slots__}, separators=(",", ":"))
        if len(text) > MAX_TEXT_CHARS:
            raise CursorError("", "the next cursor is too long to go on from")
        return text


@dataclass(frozen=True, slots=True)
class ApiBatch:
    """A batch that is to be crawled."""

    requests: Requests
    plan: CrawlPlan
    sequence: int
    fetcher: BatchFetcher[RequestSource]
    ids: IdStore
    batch_rows: int
    lines: dict[int, list[Unit]] = field(default_factory=dict)

    async def unit(self, number: int) -> Unit:
        """Raises `ObjectMissingError` where its line is gone."""
        line, place = divmod(number, self.plan.requests_per_batch)
        if line not in self.lines:
            self.lines.clear()
            self.lines[line] = await self.ids.ids_of(self.plan, line)
        return self.lines[line][place]

    def request(
        self, unit: Unit, place: Place, *, limit: int | None = None, is_first: bool = True
    ) -> SourceRequest:
        url = self.requests.shown(unit, place)

        async def ask(folder: Path) -> Answer[Fetched] | FetchFailure:
            client, source = self.requests.client, self.requests.source
            await self.fetcher.wait_while(lambda: client.paused_s(source))
            try:
                answer = await self.requests.ask(unit, place, folder, limit=limit, is_first=is_first)
            except LongWaitError as error:
                raise SourceWaitsError from error
            return answer if isinstance(answer, FetchFailure) else spooled(answer, self.fetcher.spool)

        return SourceRequest(url, _not_parsed, is_page=True, ask=ask)

    @property
    def is_full(self) -> bool:
        writer = self.fetcher.writer
        most = plans.requests_at_rate(self.requests.source.requests_per_second, plans.BATCH_REQUESTS)
        return (
            writer.rows >= self.batch_rows
            or writer.requests >= most
            or (self.fetcher.is_out_of_time and writer.requests > 0)
        )

    def note_mark(self, mark: str | int | None, token: Any) -> None:
        self.fetcher.writer.mark = dump_mark(mark, token)


def _not_parsed(_: bytes) -> Any:
    raise AssertionError("the source is asked by `ask`")


async def crawl_units(batch: ApiBatch) -> None:
    """One request for each unit. Raises `OutOfTimeError` where some are left."""
    if not batch.plan.requests:
        return
    first = batch.sequence * batch.plan.requests_per_batch
    last = min(first + batch.plan.requests_per_batch, batch.plan.requests)
    units = [await batch.unit(number) for number in range(first, last)]
    writer = batch.fetcher.writer
    known = json.loads(writer.mark) if writer.mark else {}
    state = ChainState(mark=known.get("value"), token=known.get("token"))

    async def write(_: SourceRequest, answer: Answer[Fetched] | FetchFailure) -> None:
        if isinstance(answer, Answer):
            _remember_mark(batch, state, answer)
            if answer.value.lacking:
                writer.remark(no_records_remark(answer.value.lacking))
        await batch.fetcher.write(_, answer)
        batch.note_mark(state.mark, state.token)

    await batch.fetcher.fetch_all(_requests(batch, units), write)


def _requests(batch: ApiBatch, units: Iterable[Unit]) -> Iterable[SourceRequest]:
    for unit in units:
        yield batch.request(unit, {})


def _remember_mark(batch: ApiBatch, state: ChainState, answer: Answer[Fetched]) -> None:
    assert isinstance(answer.value, FetchedPage)  # noqa: S101 - `ask` makes no other
    facts = answer.value.facts
    if facts.token is not None:
        state.token = facts.token
    options = batch.requests.source.incremental
    if options is None or not facts.marks:
        return
    newest: Moment = facts.marks[-1]
    known = None if state.mark is None else read_start(state.mark, is_number=options.is_number)
    if known is None or is_before(known, newest):
        state.mark = write_moment(newest)


class UnitChains:
    """Pages of one unit after those of the other. A page that finally fails ends its unit, not the others."""

    def __init__(self, batch: ApiBatch) -> None:
        self._batch = batch
        self._writer = batch.fetcher.writer
        self._pagination = batch.requests.source.pagination
        self._ahead: dict[int, asyncio.Task[Answer[Fetched] | FetchFailure]] = {}
        self._in_batch: set[str] = set()
        self._first_position = 0
        self._state = ChainState()
        self._promised: int | None = None

    async def crawl(self, work: CursorWork) -> CursorWork | None:
        """Returns the work of the next batch; None: the last unit has shown its end."""
        self._first_position = work.first_position
        if work.state:
            self._state = ChainState(**json.loads(work.state))
        self._writer.promise(work.promised)
        try:
            following = await self._crawl()
        finally:
            await self._close()
        self._batch.note_mark(self._state.mark, self._state.token)
        if following is None and self._writer.lacking and self._position == 0:
            self._writer.remark(no_records_remark(self._writer.lacking))
        return following

    @property
    def _position(self) -> int:
        return self._first_position + self._writer.rows

    async def _crawl(self) -> CursorWork | None:
        plan = self._batch.plan
        while self._state.unit < plan.requests:
            unit = await self._batch.unit(self._state.unit)
            place: Place | None = self._state.place or self._start()
            while place is not None:
                if self._batch.is_full:
                    return self._cursor(unit, place)
                if self._is_enough:
                    return None
                try:
                    place = await self._page(unit, place)
                except OutOfTimeError:
                    return self._cursor(unit, place or {})
                except CursorError as error:
                    await self._fail(
                        unit, place or {}, failure_of(error.url or self._shown(unit, place), str(error))
                    )
                    place = None
                self._state.place = dict(place or {})
            self._next_unit()
        return None

    @property
    def _is_enough(self) -> bool:
        return self._batch.plan.limit is not None and self._position >= self._batch.plan.limit

    def _start(self) -> Place:
        """The first page of a unit; of a run that begins with a token, where that leads."""
        token = self._batch.requests.frozen.token
        if token is None:
            return first_place(self._pagination)
        is_url = isinstance(token, str) and token.startswith(("http://", "https://"))
        return {"url": token} if is_url else {"cursor": token}

    def _next_unit(self) -> None:
        state = self._state
        self._state = ChainState(unit=state.unit + 1, mark=state.mark, token=state.token)
        self._in_batch = set()
        self._promised = None

    def _shown(self, unit: Unit, place: Place | None) -> str:
        return self._batch.requests.shown(unit, place or {})

    def _cursor(self, unit: Unit, place: Place) -> CursorWork:
        if self._batch.sequence + 1 >= plans.MAX_CHAIN_BATCHES:
            raise CursorError("", f"the chain has no end within {plans.MAX_CHAIN_BATCHES} batches")
        self._state.place = dict(place)
        return CursorWork(
            url=self._shown(unit, place)[:MAX_TEXT_CHARS],
            first_position=self._position,
            promised=self._writer.promised,
            state=self._state.dump(),
        )

    async def _page(self, unit: Unit, place: Place) -> Place | None:
        """Writes a page. Returns where the next one is. Raises `CursorError`, `OutOfTimeError`."""
        answer = await self._fetch(unit, place)
        state = self._state
        if isinstance(answer, FetchFailure):
            is_short = state.pages > 0 and (state.rows == 0 or state.rows < self._full_page)
            if is_end_by_status(self._pagination, answer.status, after_short=is_short):
                await self._writer.add_end(answer)
            else:
                await self._fail(unit, place, answer)
            return None
        try:
            return await self._add(place, answer)
        finally:
            answer.value.lines.close()

    @property
    def _full_page(self) -> int:
        """Records on a page: as asked for, else as the page before had them."""
        return getattr(self._pagination, "size", None) or self._state.rows + 1

    async def _fetch(self, unit: Unit, place: Place) -> Answer[Fetched] | FetchFailure:
        await self._look_ahead()
        task = self._ahead.pop(self._state.unit, None) if self._state.pages == 0 else None
        if task is not None:
            return await task
        limit = self._batch.plan.limit
        left = None if limit is None else limit - self._position
        request = self._batch.request(unit, place, limit=left, is_first=self._state.pages == 0)
        return await self._batch.fetcher.fetch(request)

    async def _look_ahead(self) -> None:
        """Asks for the first pages of the units that come next. With a limit there is no telling whether they do."""
        plan, source = self._batch.plan, self._batch.requests.source
        if plan.limit is not None or self._batch.is_full:
            return
        most = min(AHEAD, source.concurrency - 1)
        for number in range(self._state.unit + 1, min(self._state.unit + 1 + most, plan.requests)):
            if number not in self._ahead:
                if number // plan.requests_per_batch != self._state.unit // plan.requests_per_batch:
                    return
                request = self._batch.request(await self._batch.unit(number), self._start())
                self._ahead[number] = asyncio.create_task(self._batch.fetcher.fetch(request))

    async def _add(self, place: Place, answer: Answer[Fetched]) -> Place | None:
        page = answer.value
        assert isinstance(page, FetchedPage)  # noqa: S101 - `ask` makes no other
        state = self._state
        known = self._in_batch | set(state.seen)
        if page.rows and known & set(page.digests):
            await self._add_repeated(answer)
            return None
        await self._writer.add(answer)
        _remember_mark(self._batch, state, answer)
        self._writer.lacking = self._writer.lacking or page.lacking
        state.came += page.facts.rows
        state.rows = page.facts.rows
        self._remember(page)
        self._promise(page)
        following = following_place(
            self._batch.requests.source, place, page.facts, state.came, answer.answered_url
        )
        if following is not None and state.empty >= MAX_EMPTY_PAGES:
            raise CursorError(answer.url, f"{MAX_EMPTY_PAGES} pages in a row are empty and name a next one")
        if following is None and not page.facts.is_over:
            self._check_total(answer.url)
        return following

    async def _add_repeated(self, answer: Answer[Fetched]) -> None:
        page = failure_of(
            answer.url,
            "the page is the same as one before: does the source know the parameter that turns the page? "
            "If it ends this way: repeats: end",
            answer.status,
        )
        is_end = getattr(self._pagination, "repeats", "fault") == "end"
        await (self._writer.add_end if is_end else self._writer.add_missing)(page)

    def _remember(self, page: FetchedPage) -> None:
        state = self._state
        state.pages += 1
        if not page.rows:
            state.empty += 1
            return
        state.empty = 0
        self._in_batch.update(page.digests)
        is_power = state.pages & (state.pages - 1) == 0
        first = page.digests[-1] if is_power or not state.seen else state.seen[0]
        state.seen = [first, page.digests[-1]]

    def _promise(self, page: FetchedPage) -> None:
        total = page.facts.total
        options = getattr(self._pagination, "total", None)
        if total is None or options is None or options.of != "records":
            return
        self._promised = max(total, self._promised or 0)
        if self._batch.plan.requests == 1 and self._counts_all:
            limit = self._batch.plan.limit
            self._writer.promise(total if limit is None else min(total, limit))

    @property
    def _counts_all(self) -> bool:
        """Whether every record that comes is written, so that a total can be compared with the rows of the run."""
        source = self._batch.requests.source
        is_filtered = source.incremental is not None and source.incremental.filter == "client"
        return not source.records.where and source.records.explode is None and not is_filtered

    def _check_total(self, url: str) -> None:
        """At the end of a unit: what was promised against what came."""
        cap = getattr(self._pagination, "cap", None)
        promised, came = self._promised, self._state.came
        if cap is not None and (came >= cap.records or (promised or 0) > cap.records):
            sentence = f"the source shows {cap.records:,} records of a request and no more: {came:,} came"
            if cap.action == "fail":
                self._writer.miss(url, sentence)
            else:
                self._writer.remark(sentence)
            return
        is_compared = self._batch.plan.requests == 1 and self._counts_all
        if promised is not None and came < promised and not is_compared and not self._is_enough:
            self._writer.miss(url, f"the source promises {promised:,} records here, and {came:,} came")

    async def _fail(self, unit: Unit, place: Place, failure: FetchFailure) -> None:
        url = failure.url or self._shown(unit, place)
        is_one = self._state.pages == 0 and self._pagination.kind == "none"
        reason = failure.detail if is_one else f"this page and all after it are missing: {failure.detail}"
        await self._writer.add_failure(replace(failure, url=url), is_page=True, missing_reason=reason)

    async def _close(self) -> None:
        tasks = list(self._ahead.values())
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Answer):
                result.value.lines.close()
