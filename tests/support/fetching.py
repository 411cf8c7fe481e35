"""A client of sources, as the crawler builds it, and what one request comes to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.crawler.domain.fetching import Answer, FetchFailure, RetryPolicy
from services.crawler.domain.records import Records, split_page
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.client import SourceClient
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from tests.support.crawler import PAGES, QUICK, source_of
from tests.support.source import Fault, SourceServer

ROWS = [{"id": n} for n in range(1, 26)]


Ask = Callable[[str], "asyncio.Future[Answer[Records] | FetchFailure]"]


@asynccontextmanager
async def client_of(
    server: SourceServer,
    folder: Path,
    policy: RetryPolicy = QUICK,
    timeout_s: float = 5,
    read_timeout_s: float = 0.2,
    **source: float,
) -> AsyncIterator[Ask]:
    """A function that asks for a path of the server."""
    described = source_of(server.url, PAGES, **source)
    transport = HttpTransport(
        allowed=AllowedHosts.parse(server.allow),
        user_agent="OnPoint/test (+tests)",
        timeout_s=timeout_s,
        policy=policy,
        read_timeout_s=read_timeout_s,
    )
    async with transport:
        client = SourceClient(transport, SourceThrottle([described]), policy)

        def ask(path: str) -> "asyncio.Future[Answer[Records] | FetchFailure]":
            return asyncio.ensure_future(client(described, f"{server.url}{path}", split_page, folder))

        yield ask


async def fetched(
    fault: Fault, folder: Path, times: int | None = None
) -> tuple[Answer[Records] | FetchFailure, int]:
    """What one request comes to where `fault` is in its way, and how many tries reached the server."""
    async with SourceServer({"things": ROWS}) as server, client_of(server, folder) as ask:
        server.fail("/things", fault, times)
        return await ask("/things"), len(server.seen)
