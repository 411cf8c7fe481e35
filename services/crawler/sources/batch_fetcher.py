"""The requests of one batch: many at once, answers in source order, within the batch's time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from services.crawler.adapters.batch_writer import BatchWriter, Fetched
from services.crawler.adapters.checkpoints import Checkpoint
from services.crawler.adapters.spool import Spool
from services.crawler.domain.digests import KeyPath, digests_of
from services.crawler.domain.fetching import Answer, Fetch, FetchFailure, failure_of
from services.crawler.domain.records import Records
from shared.datasets.model import ApiSource
from shared.datasets.sources.api import RequestSource
from shared.events.models import Artifact

SourceT = TypeVar("SourceT", bound=ApiSource | RequestSource)

WINDOW_PER_SLOT = 2
"""Requests that are open, or answered and waiting for an earlier one, per concurrent request of the source."""

MAX_WINDOW = 100

PATIENCE_S = 300.0
PATIENCE_FAILURES = 5
"""A batch makes no more requests once this many in a row have failed and this much time is spent. Its handler must
end; the requests that are left become failures."""

BATCH_S = 240.0
"""After this time a batch starts no request: it ends at a cursor, or continues later from a checkpoint."""

LAST_REQUEST_S = 280.0
"""More for the requests that are open then. Both are below the time that a rebalance waits for a handler."""

CANCEL_LOOK_S = 3.0
"""Between two looks for the cancel mark while a batch is crawled, which may take minutes."""


class OutOfTimeError(Exception):
    """The batch's time is over, and requests are left."""


class SourceWaitsError(OutOfTimeError):
    """The source asks for a pause that is longer than the batch's time."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    url: str
    parse: Callable[[bytes], Records]
    is_page: bool
    """Else it is one item: where it fails, one row is rejected."""
    ask: "Callable[[Path], Awaitable[Answer[Fetched] | FetchFailure]] | None" = None
    """Asks the source in place of a GET of the URL. Raises `SourceWaitsError`."""


OnAnswer = Callable[[SourceRequest, Answer[Fetched] | FetchFailure], Awaitable[None]]
"""Called for each answer, in the order of the requests."""


class BatchFetcher(Generic[SourceT]):
    """Makes a batch's requests and passes the answers to the batch's writer."""

    def __init__(
        self,
        fetch: Fetch,
        source: SourceT,
        folder: Path,
        writer: BatchWriter,
        refuse_cancelled: Callable[[], Awaitable[None]],
        key_paths: Sequence[KeyPath] = (),
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`refuse_cancelled` raises where the run was cancelled. `key_paths`: of the records' keys.

        `checkpoint`: what the writer has already written.
        """
        self._key_paths = key_paths
        self._fetch = fetch
        self._refuse_cancelled = refuse_cancelled
        self._next_cancel_look_s = asyncio.get_running_loop().time() + CANCEL_LOOK_S
        self.source = source
        self._folder = folder
        self.writer = writer
        self._started_s = asyncio.get_running_loop().time()
        self._spent_before_s = checkpoint.spent_s if checkpoint else 0.0
        self._failures_in_a_row = checkpoint.failures_in_a_row if checkpoint else 0
        self._answered_before = writer.requests

    @property
    def is_out_of_time(self) -> bool:
        return asyncio.get_running_loop().time() >= self._started_s + BATCH_S

    @property
    def spent_s(self) -> float:
        """On the batch, the time before its checkpoint included."""
        return self._spent_before_s + asyncio.get_running_loop().time() - self._started_s

    def checkpoint(self, batch_id: str, raw: Artifact, requests: Artifact) -> Checkpoint:
        """The batch so far; the artifacts are the writer's files."""
        return Checkpoint(
            batch_id=batch_id,
            raw=raw,
            requests=requests,
            rejected=self.writer.rejected,
            failed=self.writer.failed,
            promised=self.writer.promised,
            missing=tuple(self.writer.missing),
            unconfirmed=tuple(self.writer.unconfirmed),
            lacking=self.writer.lacking,
            total_problem=self.writer.total_problem,
            seen=tuple(sorted(self.writer.seen)),
            mark=self.writer.mark,
            failures_in_a_row=self._failures_in_a_row,
            spent_s=self.spent_s,
        )

    async def fetch_all(self, requests: Iterable[SourceRequest], on_answer: OnAnswer | None = None) -> None:
        """Makes many requests at once; passes the answers on in order, by default to the writer.

        Memory: `MAX_WINDOW` answers of at most `SPOOL_BYTES`. The first requests are skipped where the writer has their
        answers. Raises `OutOfTimeError` where the time is over before the requests are, and at least one more was
        answered.
        """
        requests = islice(requests, self.writer.requests, None)
        window = min(MAX_WINDOW, WINDOW_PER_SLOT * self.source.concurrency)
        async with aclosing(self._in_order(requests, window)) as answers:
            async for request, answer in answers:
                await (on_answer or self.write)(request, answer)
                if isinstance(answer, Answer):
                    answer.value.lines.close()

    async def write(self, request: SourceRequest, answer: Answer[Fetched] | FetchFailure) -> None:
        if isinstance(answer, FetchFailure):
            await self.writer.add_failure(answer, is_page=request.is_page)
        else:
            await self.writer.add(answer)

    async def fetch(self, request: SourceRequest) -> Answer[Fetched] | FetchFailure:
        """Makes one request; the caller writes the answer and closes its lines.

        Raises `PermanentError` (`cancelled`) once the run is cancelled, `OutOfTimeError` where an answer takes longer than
        a batch may, and at least one request was answered before.
        """
        return await self._unless_too_long(request, self._fetch_one(request))

    async def _in_order(
        self, requests: Iterable[SourceRequest], window: int
    ) -> AsyncGenerator[tuple[SourceRequest, Answer[Fetched] | FetchFailure], None]:
        pending: deque[tuple[SourceRequest, asyncio.Task[Answer[Fetched] | FetchFailure]]] = deque()
        left = iter(requests)
        try:
            while True:
                while len(pending) < window and not self.is_out_of_time:
                    if (request := next(left, None)) is None:
                        break
                    pending.append((request, asyncio.create_task(self._fetch_one(request))))
                if not pending:
                    break
                await self._wait_for(pending[0][1])
                answer = await self._unless_too_long(*pending[0])
                yield pending.popleft()[0], answer
            if next(left, None) is not None:
                raise OutOfTimeError
        finally:
            tasks = [task for _, task in pending]
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Answer):
                    result.value.lines.close()

    async def _wait_for(self, task: asyncio.Task[Answer[Fetched] | FetchFailure]) -> None:
        """Raises `OutOfTimeError` once the time is over, except before the first answer: a batch must make progress."""
        if not self._has_progress:
            return
        left_s = self._started_s + BATCH_S - asyncio.get_running_loop().time()
        await asyncio.wait({task}, timeout=max(0.0, left_s))
        if not task.done():
            raise OutOfTimeError

    @property
    def _has_progress(self) -> bool:
        return self.writer.requests > self._answered_before

    async def _unless_too_long(
        self, request: SourceRequest, answer: Awaitable[Answer[Fetched] | FetchFailure]
    ) -> Answer[Fetched] | FetchFailure:
        try:
            return await answer
        except SourceWaitsError:
            raise
        except OutOfTimeError:
            if self._has_progress:
                raise
            self._failures_in_a_row += 1
            return failure_of(request.url, f"no answer within {BATCH_S + LAST_REQUEST_S:.0f} s")

    async def _fetch_one(self, request: SourceRequest) -> Answer[Fetched] | FetchFailure:
        await self._look_for_cancel()
        if self._has_stopped():
            detail = f"not asked: {self._failures_in_a_row} requests in a row had failed before"
            return failure_of(request.url, detail)
        try:
            async with asyncio.timeout_at(self._started_s + BATCH_S + LAST_REQUEST_S):
                answer = await self._ask(request)
        except TimeoutError:
            raise OutOfTimeError from None
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(answer, FetchFailure) else 0
        return answer

    async def _ask(self, request: SourceRequest) -> Answer[Fetched] | FetchFailure:
        if request.ask is not None:
            return await request.ask(self._folder)
        source: ApiSource | RequestSource = self.source
        assert isinstance(source, ApiSource)  # noqa: S101 - others bring `ask`
        return await self._fetch(
            source, request.url, lambda body: self.spool(request.parse(body)), self._folder
        )

    async def wait_while(self, paused_s: Callable[[], float]) -> None:
        """Until the source may be asked again. Raises `SourceWaitsError` where the batch's time is over before."""
        while (left_s := paused_s()) > 0:
            if self.is_out_of_time:
                raise SourceWaitsError
            await self._look_for_cancel()
            await asyncio.sleep(min(left_s, CANCEL_LOOK_S))

    async def _look_for_cancel(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._next_cancel_look_s:
            self._next_cancel_look_s = now_s + CANCEL_LOOK_S
            await self._refuse_cancelled()

    def _has_stopped(self) -> bool:
        return self._failures_in_a_row >= PATIENCE_FAILURES and self.spent_s >= PATIENCE_S

    def spool(self, records: Records) -> Fetched:
        """The lines of an answer, until it is their turn."""
        lines = Spool.of(records.data, self._folder)
        digests = digests_of(records, self._key_paths)
        return Fetched(
            lines,
            records.rows,
            empty=records.empty,
            digests=digests,
            lacking=records.lacking,
            is_cut=records.is_cut,
        )
