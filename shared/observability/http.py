"""/livez, /readyz and /metrics of a service."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.observability.metrics import REGISTRY

Complaints = Callable[[], list[str]]
"""What is wrong right now, in words; empty: nothing."""


async def start_http(host: str, port: int, *, alive: Complaints, ready: Complaints) -> web.AppRunner:
    """Serves until the runner's `cleanup`. 200 without complaints, else 503 with them, one a line."""

    async def livez(_: web.Request) -> web.Response:
        return _verdict(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _verdict(complaints: list[str]) -> web.Response:
    return web.Response(status=503 if complaints else 200, text="\n".join(complaints) or "ok")
