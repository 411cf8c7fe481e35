"""An API for tests: asks for credentials, pages by cursors that expire, refuses and errs as real ones do.

A test gives `answer`, a function of the request. What is common to many APIs is here: a token in a header, and cursors.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Answer = Callable[["Asked"], Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def cursor(self) -> str | None:
        return self.query.get("cursor")


@dataclass(slots=True)
class ApiServer:
    """`async with ApiServer(answer) as api:` serves until the block ends."""

    answer: Answer
    seen: list[Asked] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
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
        return f"127.0.0.1:{self.port}"

    def targets(self) -> list[str]:
        return [f"{one.path}?{one.raw_query}" if one.raw_query else one.path for one in self.seen]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            request.rel_url.raw_query_string,
            dict(request.headers),
            await request.read(),
        )
        self.seen.append(asked)
        made = self.answer(asked)
        if isinstance(made, Awaitable):
            made = await made
        return made if isinstance(made, web.StreamResponse) else web.json_response(made)


def refused(status: int, message: str, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"message": message}, status=status, headers=named)


def cursor_pages(records: list[Any], size: int) -> Answer:
    """Pages of `data` with `next`, a cursor, and `has_more`."""

    def answer(asked: Asked) -> Any:
        start = int(asked.cursor or 0)
        stop = start + size
        has_more = stop < len(records)
        return {"data": records[start:stop], "has_more": has_more, "next": str(stop) if has_more else None}

    return answer


def with_bearer(token: str, answer: Answer) -> Answer:
    """Refuses whoever does not bring the token."""

    def guarded(asked: Asked) -> Any:
        if asked.headers.get("Authorization") != f"Bearer {token}":
            return refused(401, f"the token {asked.headers.get('Authorization', 'none')} is not valid")
        return answer(asked)

    return guarded
