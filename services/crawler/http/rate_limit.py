"""How fast and how wide a source may be asked. Shared by all workers of the process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from yarl import URL

from shared.datasets.model import ApiSource

LATE_S = 0.005
"""So much lateness of the event loop is made up for; otherwise a high rate would never be reached."""


class RateLimiter:
    """Lets requests to one host through one after the other, at an even pace."""

    def __init__(self) -> None:
        self._line = asyncio.Lock()
        self._next_s = 0.0
        self._paused_until_s = 0.0

    async def acquire(self, per_second: float) -> None:
        """Waits for this request's turn; with 0 per second only where the host asked to be left alone."""
        loop = asyncio.get_running_loop()
        async with self._line:
            while (wait_s := max(self._next_s, self._paused_until_s) - loop.time()) > 0:  # noqa: ASYNC110 - a time, no event
                await asyncio.sleep(wait_s)
            if per_second:
                self._next_s = max(self._next_s, loop.time() - LATE_S) + 1 / per_second

    def pause(self, seconds: float) -> None:
        """Nobody passes for so long: the host asked for it."""
        self._paused_until_s = max(self._paused_until_s, asyncio.get_running_loop().time() + seconds)


class ConcurrencyLimit:
    """Requests in flight to one source, in the order in which they came. How many may be is asked each time."""

    def __init__(self) -> None:
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()
        self._taken = 0

    @asynccontextmanager
    async def slot(self, most: Callable[[], int]) -> AsyncIterator[None]:
        """Holds a slot. Whoever is first in line takes the next that is free, so nobody is passed over."""
        async with self._line:
            while self._taken >= most():
                self._freed.clear()
                await self._freed.wait()
            self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._freed.set()


class SourceThrottle:
    """A turnstile per host and a bound of concurrent requests per source: the least that its datasets ask for."""

    def __init__(self, sources: Iterable[ApiSource] = ()) -> None:
        self._most: dict[str, int] = {}
        self._slots: defaultdict[str, ConcurrencyLimit] = defaultdict(ConcurrencyLimit)
        self._limiters: defaultdict[str, RateLimiter] = defaultdict(RateLimiter)
        self.use_limits_of(sources)

    def use_limits_of(self, sources: Iterable[ApiSource]) -> None:
        """All sources of today's files. Requests that are in flight go on; the next keep to the new bounds.

        A source that is not among them, of a run whose file is gone, is bounded by its own number alone.
        """
        most: dict[str, int] = {}
        for source in sources:
            most[source.name] = min(most.get(source.name, source.concurrency), source.concurrency)
        self._most = most

    @asynccontextmanager
    async def request(self, source: ApiSource) -> AsyncIterator[None]:
        """The time of one request: a slot is held, and its turn has come."""
        async with self._slots[source.name].slot(lambda: self._most_of(source)):
            await self._limiter(source).acquire(source.requests_per_second)
            yield

    def pause(self, source: ApiSource, seconds: float) -> None:
        self._limiter(source).pause(seconds)

    def _most_of(self, source: ApiSource) -> int:
        return min(source.concurrency, self._most.get(source.name, source.concurrency))

    def _limiter(self, source: ApiSource) -> RateLimiter:
        return self._limiters[URL(source.base_url).host or ""]
