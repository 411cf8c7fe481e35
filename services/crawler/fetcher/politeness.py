"""How fast and how wide a source may be asked. Shared by all workers of the process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from yarl import URL

from shared.datasets.model import ApiSource

LATE_S = 0.005
"""So much lateness of the event loop is made up for; otherwise a high rate would never be reached."""


class Turnstile:
    """Lets requests to one host through one after the other, at an even pace."""

    def __init__(self) -> None:
        self._line = asyncio.Lock()
        self._next_s = 0.0
        self._held_until_s = 0.0

    async def pass_through(self, per_second: float) -> None:
        """Waits for this request's turn; with 0 per second only where the host asked to be left alone."""
        loop = asyncio.get_running_loop()
        async with self._line:
            while (wait_s := max(self._next_s, self._held_until_s) - loop.time()) > 0:  # noqa: ASYNC110 - a time, no event
                await asyncio.sleep(wait_s)
            if per_second:
                self._next_s = max(self._next_s, loop.time() - LATE_S) + 1 / per_second

    def hold(self, seconds: float) -> None:
        """Nobody passes for so long: the host asked for it."""
        self._held_until_s = max(self._held_until_s, asyncio.get_running_loop().time() + seconds)


class Politeness:
    """A turnstile per host and a bound of concurrent requests per source (the least that its datasets ask for)."""

    def __init__(self, sources: Iterable[ApiSource]) -> None:
        concurrency: dict[str, int] = {}
        for source in sources:
            concurrency[source.name] = min(
                concurrency.get(source.name, source.concurrency), source.concurrency
            )
        self._slots = {name: asyncio.Semaphore(slots) for name, slots in concurrency.items()}
        self._turnstiles: defaultdict[str, Turnstile] = defaultdict(Turnstile)

    @asynccontextmanager
    async def turn(self, source: ApiSource) -> AsyncIterator[None]:
        """The time of one request: a slot is held, and its turn has come."""
        async with self._slots[source.name]:
            await self._turnstile(source).pass_through(source.requests_per_second)
            yield

    def hold(self, source: ApiSource, seconds: float) -> None:
        self._turnstile(source).hold(seconds)

    def _turnstile(self, source: ApiSource) -> Turnstile:
        return self._turnstiles[URL(source.base_url).host or ""]
