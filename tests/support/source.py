"""A source for tests: the shapes of both APIs over loopback, with every way to fail on demand.

`async with SourceServer({"posts": [...], "stories": [...]}) as source:` serves until the block ends. Collections
are paged like JSONPlaceholder's; `stories` are also Hacker News items. A fault is put on a path, or on a path with
its query, and takes the place of the answer as often as asked.
"""

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEFAULT_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the server."""

    path: str
    query: str
    at_s: float
    """Monotonic."""
    headers: Mapping[str, str]

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(slots=True)
class _Planned:
    fault: Fault
    left: int | None
    after: int


@dataclass(slots=True)
class SourceServer:
    collections: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    total_header: str | None = "X-Total-Count"
    links: bool = True
    etag: str | None = None
    """Of every page."""
    max_page: int = DEFAULT_LIMIT
    """No page is longer, whatever is asked for."""
    host: str = "127.0.0.1"
    delay_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    concurrent: int = 0
    most_concurrent: int = 0
    port: int = 0
    _faults: dict[str, list[_Planned]] = field(default_factory=dict)
    _stories: dict[str, Any] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def allow(self) -> str:
        """The value for ONPOINT_CRAWL_ALLOW_HOSTS."""
        return f"127.0.0.1:{self.port}"

    def fail(self, target: str, fault: Fault, times: int | None = None, after: int = 0) -> None:
        """Puts a fault on a path or on a path with its query; `times` None: for ever; after `after` good answers."""
        self._faults.setdefault(target, []).append(_Planned(fault, times, after))

    def heal(self) -> None:
        self._faults.clear()

    def targets(self) -> list[str]:
        return [request.target for request in self.seen]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.path, request.query_string, time.monotonic(), dict(request.headers)))
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if (fault := self._fault(request)) is not None:
                return await fault(request)
            return self._good(request)
        finally:
            self.concurrent -= 1

    def _fault(self, request: web.Request) -> Fault | None:
        for target in (request.path_qs, request.path):
            for planned in self._faults.get(target, ()):
                if planned.after > 0:
                    planned.after -= 1
                    continue
                if planned.left == 0:
                    continue
                if planned.left is not None:
                    planned.left -= 1
                return planned.fault
        return None

    def _good(self, request: web.Request) -> web.Response:
        steps = request.path.strip("/").split("/")
        if steps == ["v0", "topstories.json"]:
            return web.json_response([story["id"] for story in self.collections.get("stories", ()) if story])
        if steps[:2] == ["v0", "item"] and len(steps) == 3:
            identity = steps[2].removesuffix(".json")
            return web.json_response(self._story(identity))
        if len(steps) == 1 and steps[0] in self.collections:
            return self._page(request, self.collections[steps[0]])
        return web.json_response({}, status=404)

    def _story(self, identity: str) -> Any:
        stories = self.collections.get("stories", ())
        if len(self._stories) != len(stories):
            self._stories = {str(story["id"]): story for story in stories if story}
        return self._stories.get(identity)

    def _page(self, request: web.Request, records: Sequence[Any]) -> web.Response:
        size = min(int(request.query.get("_limit", DEFAULT_LIMIT)), self.max_page)
        page = int(request.query.get("_page", 1))
        headers = {} if self.total_header is None else {self.total_header: str(len(records))}
        if self.etag is not None:
            headers["ETag"] = self.etag
        if self.links and page * size < len(records):
            following = request.url.update_query({"_page": str(page + 1)})
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(records[(page - 1) * size : page * size], headers=headers)


def status(code: int, **headers: str) -> Fault:
    """An error status; `Retry_After="1"` gives the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": code}, status=code, headers=named)

    return fault


def refusal(code: int, data: bytes) -> Fault:
    """An error status with this very body."""

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, body=data)

    return fault


def body(data: bytes, content_type: str = "application/json", **headers: str) -> Fault:
    """A good status with this very body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(body=data, content_type=content_type, headers=named)

    return fault


def records(rows: Sequence[Any], **headers: str) -> Fault:
    return body(json.dumps(rows).encode(), **headers)


def html() -> Fault:
    return body(b"<!doctype html><h1>Sorry, we are down for maintenance</h1>", "text/html")


def null() -> Fault:
    return body(b"null")


def truncated(declared: int = 1000) -> Fault:
    """Half a body, then the connection is closed."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Length": str(declared), "Content-Type": "application/json"}
        )
        await response.prepare(request)
        await response.write(b'[{"id": 1}, {"id"')
        assert request.transport is not None
        request.transport.close()
        return response

    return fault


def hang(seconds: float = 3600) -> Fault:
    """No answer is sent."""

    async def fault(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response()

    return fault


def drip(data: bytes, pause_s: float) -> Fault:
    """The body is sent a byte at a time."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        for place in range(len(data)):
            await response.write(data[place : place + 1])
            await asyncio.sleep(pause_s)
        return response

    return fault


def close() -> Fault:
    """The connection ends without an answer."""

    async def fault(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    return fault


def redirect(location: str, code: int = 302) -> Fault:
    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={"Location": location})

    return fault


def zipped(data: bytes, encoding: str = "gzip") -> Fault:
    return body(gzip.compress(data, 9), Content_Encoding=encoding)


def bomb(megabytes: int = 50) -> Fault:
    """Valid JSON of that size, a thousandth of it on the wire."""
    return zipped(b"[" + b" " * (megabytes * 2**20) + b"]")


def endless(code: int = 200) -> Fault:
    """A chunked body that never ends."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=code)
        await response.prepare(request)
        block = b" " * 2**16
        while True:
            await response.write(block)

    return fault
