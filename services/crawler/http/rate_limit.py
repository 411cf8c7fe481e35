"""The rate and the concurrency of requests per source. Shared by all workers of the process."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from yarl import URL

from shared.datasets.model import ApiSource
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.durations import seconds_of
from shared.observability.metrics import (
    SOURCE_CONCURRENCY_LIMIT,
    SOURCE_IN_FLIGHT,
    SOURCE_PAUSED_SECONDS,
    SOURCE_RATE_LIMIT,
    SOURCE_SECONDS,
    SOURCE_WAIT_SECONDS,
)

LATE_S = 0.005
"""Lateness of the event loop that is made up for; otherwise a high rate would never be reached."""


AnySource = ApiSource | RequestSource


class RateLimiter:
    """Spaces the requests to one host evenly."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, float], deque[float]] = {}
        self._queue = asyncio.Lock()
        self._next_s = 0.0
        self._paused_until_s = 0.0

    async def acquire(self, per_second: float, budgets: Iterable[tuple[int, float]] = ()) -> None:
        """Waits for this request's turn; with 0 per second only while the host is paused.

        `budgets`: how many requests within how many seconds.
        """
        loop = asyncio.get_running_loop()
        async with self._queue:
            while (wait_s := max(self._next_s, self._paused_until_s) - loop.time()) > 0:  # noqa: ASYNC110 - a time, not an event
                await asyncio.sleep(wait_s)
            for most, within_s in budgets:
                await self._spend(most, within_s)
            if per_second:
                self._next_s = max(self._next_s, loop.time() - LATE_S) + 1 / per_second

    async def _spend(self, most: int, within_s: float) -> None:
        """Of a sliding window: waits until one more request is within its budget."""
        loop = asyncio.get_running_loop()
        sent = self._sent.setdefault((most, within_s), deque(maxlen=most))
        if len(sent) == most and (wait_s := sent[0] + within_s - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        sent.append(loop.time())

    @property
    def paused_s(self) -> float:
        """From now."""
        return max(0.0, self._paused_until_s - asyncio.get_running_loop().time())

    def pause(self, seconds: float) -> None:
        """Delays all requests to the host, which asked for that (`Retry-After`)."""
        self._paused_until_s = max(self._paused_until_s, asyncio.get_running_loop().time() + seconds)


class ConcurrencyLimit:
    """Bounds the requests in flight to one source, first come, first served. The bound is read each time."""

    def __init__(self) -> None:
        self._queue = asyncio.Lock()
        self._freed = asyncio.Event()
        self._in_flight = 0

    @asynccontextmanager
    async def slot(self, most: Callable[[], int]) -> AsyncIterator[None]:
        """Occupies a slot while the block runs. The first request in line takes the next free one."""
        async with self._queue:
            while self._in_flight >= most():
                self._freed.clear()
                await self._freed.wait()
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._freed.set()


class SourceThrottle:
    """A rate limiter per host, and a bound of concurrent requests per source: the smallest that its datasets set."""

    def __init__(self, sources: Iterable[AnySource] = ()) -> None:
        self._most: dict[str, int] = {}
        self._slots: defaultdict[str, ConcurrencyLimit] = defaultdict(ConcurrencyLimit)
        self._limiters: defaultdict[str, RateLimiter] = defaultdict(RateLimiter)
        self.use_limits_of(sources)

    def use_limits_of(self, sources: Iterable[AnySource]) -> None:
        """`sources`: all of today's files. Requests in flight go on; the next ones keep the new bounds.

        A source that is not among them, of a run whose file is gone, is bounded by its own number alone.
        """
        most: dict[str, int] = {}
        for source in sources:
            most[source.name] = min(most.get(source.name, source.concurrency), source.concurrency)
        self._most = most

    @asynccontextmanager
    async def request(self, source: AnySource) -> AsyncIterator[None]:
        """Surrounds one request: waits for a slot and its turn, and occupies the slot."""
        began_s = time.monotonic()
        async with self._slots[source.name].slot(lambda: self._most_of(source)):
            await self._limiter(source).acquire(source.requests_per_second, _budgets_of(source))
            SOURCE_WAIT_SECONDS.labels(source.name).inc(time.monotonic() - began_s)
            SOURCE_CONCURRENCY_LIMIT.labels(source.name).set(self._most_of(source))
            SOURCE_RATE_LIMIT.labels(source.name).set(source.requests_per_second)
            with (
                SOURCE_IN_FLIGHT.labels(source.name).track_inprogress(),
                SOURCE_SECONDS.labels(source.name).time(),
            ):
                yield

    def pause(self, source: AnySource, seconds: float) -> None:
        SOURCE_PAUSED_SECONDS.labels(source.name).inc(seconds)
        self._limiter(source).pause(seconds)

    def paused_s(self, source: AnySource) -> float:
        """How long the source asked to be left alone, from now."""
        return self._limiter(source).paused_s

    def _most_of(self, source: AnySource) -> int:
        return min(source.concurrency, self._most.get(source.name, source.concurrency))

    def _limiter(self, source: AnySource) -> RateLimiter:
        if isinstance(source, RequestSource):
            return self._limiters[f"source {source.name}"]
        return self._limiters[URL(source.base_url).host or ""]


def _budgets_of(source: AnySource) -> list[tuple[int, float]]:
    if not isinstance(source, RequestSource):
        return []
    return [(budget.requests, seconds_of(budget.per)) for budget in source.limits.budgets]
