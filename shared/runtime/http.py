"""/livez, /readyz, /metrics and /resume of a service, and the pages that a service has of its own."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import SecretStr

from shared.observability.registry import REGISTRY
from shared.runtime import machine
from shared.runtime.paths import RESUME_PATH

Problems = Callable[[], list[str]]
"""The problems of this moment, for people; empty: none."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer in JSON."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK


Pages = Mapping[str, Callable[[], Awaitable[Page]]]
"""By their paths. Looked up at each request: a service adds its own while it starts."""


async def start_http(
    host: str,
    port: int,
    *,
    alive: Problems,
    ready: Problems,
    resume: Callable[[], bool],
    pages: Pages | None = None,
    token: SecretStr | None = None,
) -> web.AppRunner:
    """Serves until the runner's `cleanup`. 200 without problems, else 503 with them, one a line.

    `pages` are below /health/, and 404 until they are there. `resume` resets the circuit breaker and tells whether it was
    open. A program on this machine may ask for it, and one that has the bearer `token`, if there is a token.
    """

    async def livez(_: web.Request) -> web.Response:
        return _verdict(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(ready())

    async def page(request: web.Request) -> web.Response:
        make = (pages or {}).get(request.path)
        if make is None:
            return web.Response(status=404, text="there is no such page, or the service has not started yet")
        found = await make()
        return web.Response(body=found.body, status=found.status, content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        machine.observe()
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def close_circuit_breaker(request: web.Request) -> web.Response:
        if not (_is_local_program(request) or _has_token(request, token)):
            return web.Response(
                status=403, text="only for programs on this machine, and with the control token"
            )
        return web.Response(
            text="the circuit breaker is closed" if resume() else "the circuit breaker was not open"
        )

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    app.add_routes([web.get("/health/{name}", page)])
    app.add_routes([web.post(RESUME_PATH, close_circuit_breaker)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _verdict(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")


def _has_token(request: web.Request, token: SecretStr | None) -> bool:
    """Compared in constant time."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if token is None or kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.get_secret_value().encode())


def _is_local_program(request: web.Request) -> bool:
    """A page in a browser on this machine comes from it too, but has its origin in a header."""
    try:
        is_local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    return is_local and not {"Origin", "Referer", "Sec-Fetch-Site"} & request.headers.keys()
