"""How a batch asks its source: many requests at once, answers in source order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from services.crawler.domain.digests import KeyPath, digests_of
from services.crawler.domain.fetching import Answer, Failure, Fetch, failure_of
from services.crawler.domain.records import Records
from services.crawler.recorder import Fetched, Recorder
from services.crawler.spool import Spool
from shared.datasets.model import ApiSource

WINDOW_PER_SLOT = 2
"""Answers may wait for an earlier one: so many requests are open or waiting per slot of the source."""

MAX_WINDOW = 100

PATIENCE_S = 300.0
PATIENCE_FAILURES = 5
"""A batch gives up on a source when so many requests in a row finally failed and so much time has gone: its
handler must end, and what it did not ask for is listed."""

CANCEL_LOOK_S = 3.0
"""Between two looks for the cancel mark while a batch is crawled, which may take minutes."""


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    parse: Callable[[bytes], Records]
    is_page: bool


Take = Callable[[Request, Answer[Fetched] | Failure], Awaitable[None]]
"""What becomes of an answer; called in the order of the requests."""


class Crawl:
    """One batch's requests, from the source into the recorder."""

    def __init__(
        self,
        fetch: Fetch,
        source: ApiSource,
        folder: Path,
        recorder: Recorder,
        refuse_cancelled: Callable[[], Awaitable[None]],
        key_paths: Sequence[KeyPath] = (),
    ) -> None:
        """`refuse_cancelled` raises where nobody wants the batch any more. `key_paths`: of the records' keys."""
        self._key_paths = key_paths
        self._fetch = fetch
        self._refuse_cancelled = refuse_cancelled
        self._look_at_s = asyncio.get_running_loop().time() + CANCEL_LOOK_S
        self.source = source
        self._folder = folder
        self.recorder = recorder
        self._give_up_at_s = asyncio.get_running_loop().time() + PATIENCE_S
        self._failures_in_a_row = 0

    async def all(self, requests: Iterable[Request], take: Take | None = None) -> None:
        """Asks for many at once and hands on in order. Memory: `MAX_WINDOW` answers of at most `SPOOL_BYTES`."""
        window = min(MAX_WINDOW, WINDOW_PER_SLOT * self.source.concurrency)
        async with aclosing(self._in_order(requests, window)) as answers:
            async for request, answer in answers:
                await (take or self.record)(request, answer)
                if isinstance(answer, Answer):
                    answer.value.lines.close()

    async def record(self, request: Request, answer: Answer[Fetched] | Failure) -> None:
        if isinstance(answer, Failure):
            await self.recorder.add_failure(answer, is_page=request.is_page)
        else:
            await self.recorder.add(answer)

    async def _in_order(
        self, requests: Iterable[Request], window: int
    ) -> AsyncGenerator[tuple[Request, Answer[Fetched] | Failure], None]:
        pending: deque[tuple[Request, asyncio.Task[Answer[Fetched] | Failure]]] = deque()
        try:
            for request in requests:
                pending.append((request, asyncio.create_task(self.ask(request))))
                if len(pending) >= window:
                    answer = await pending[0][1]
                    yield pending.popleft()[0], answer
            while pending:
                answer = await pending[0][1]
                yield pending.popleft()[0], answer
        finally:
            tasks = [task for _, task in pending]
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Answer):
                    result.value.lines.close()

    async def ask(self, request: Request) -> Answer[Fetched] | Failure:
        """Raises `PermanentError` (`cancelled`) once the run is cancelled."""
        await self._look_for_cancel()
        if self._has_given_up():
            detail = f"not asked: {self._failures_in_a_row} requests in a row had failed before"
            return failure_of(request.url, detail)
        answer = await self._fetch(
            self.source, request.url, lambda body: self._spool(request.parse(body)), self._folder
        )
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(answer, Failure) else 0
        return answer

    async def _look_for_cancel(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + CANCEL_LOOK_S
            await self._refuse_cancelled()

    def _has_given_up(self) -> bool:
        return (
            self._failures_in_a_row >= PATIENCE_FAILURES
            and asyncio.get_running_loop().time() >= self._give_up_at_s
        )

    def _spool(self, records: Records) -> Fetched:
        lines = Spool.of(records.data, self._folder)
        digests = digests_of(records, self._key_paths)
        return Fetched(lines, records.rows, empty=records.empty, digests=digests, lacking=records.lacking)
