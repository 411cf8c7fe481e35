"""An HTTP proxy before a real S3 server that does to chosen calls what S3 and the way to it do at their worst.

async with S3FaultProxy(endpoint) as proxy:
    proxy.fail("UploadPart", "503", times=2)
    store = open_s3(settings with proxy.url, bucket)
"""

import asyncio
import io
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import aiohttp
from aiohttp import web
from yarl import URL

Call = Literal["Put", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "Get"]
Fault = Literal["503", "500", "403", "reset", "hang", "slow", "truncated", "200 with an error", "reply lost"]
CALLS: tuple[Call, ...] = get_args(Call)
FAULTS: tuple[Fault, ...] = get_args(Fault)

SLOW_BYTES_PER_S = 1024
LARGEST_BODY = 64 * 2**20
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>by a test</Message></Error>'
)
ANSWERS: dict[Fault, tuple[int, str]] = {
    "503": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "403": (403, "AccessDenied"),
    "200 with an error": (200, "InternalError"),
}


@dataclass(slots=True)
class _Planned:
    fault: Fault
    left: int


@dataclass(slots=True)
class S3FaultProxy:
    upstream: str
    url: str = ""
    calls: list[str] = field(default_factory=list)
    """Every call that came, by name; others as `METHOD`."""
    broken: int = 0
    """Calls that met their fault."""
    _planned: dict[str, _Planned] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    def fail(self, call: Call, fault: Fault, times: int) -> None:
        """The next `times` calls of that name, retries of the client included."""
        self._planned[call] = _Planned(fault, times)

    def heal(self) -> None:
        self._planned.clear()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = call_of(request)
        self.calls.append(call)
        planned = self._planned.get(call)
        if planned is None or planned.left == 0:
            return _whole(*await self._forward(request))
        planned.left -= 1
        self.broken += 1
        return await self._fail(request, planned.fault)

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault:
            case "503" | "500" | "403" | "200 with an error":
                await request.read()
                return _error(*ANSWERS[fault])
            case "reset":
                return _cut(request)
            case "hang":
                await asyncio.sleep(3600)
                return web.Response()
            case "reply lost":
                await self._forward(request)
                return _cut(request)
            case "truncated":
                return await _half(request, *await self._forward(request))
            case "slow":
                return await self._slowly(request)

    async def _forward(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        # The signature covers the host as the client named it, so it goes on unchanged.
        headers = {k: v for k, v in request.headers.items() if k.lower() != "transfer-encoding"}
        target = URL(self.upstream + request.raw_path, encoded=True)
        assert self._client is not None
        async with self._client.request(
            request.method,
            target,
            headers=headers,
            data=io.BytesIO(await request.read()),
            allow_redirects=False,
        ) as answer:
            passed_headers = {
                k: v
                for k, v in answer.headers.items()
                if k.lower() not in {"transfer-encoding", "content-length", "connection"}
            }
            return answer.status, passed_headers, await answer.read()

    async def _slowly(self, request: web.Request) -> web.StreamResponse:
        """The request is read, and the answer sent, at 1 KB/s."""
        if request.method != "GET":
            while await request.content.read(SLOW_BYTES_PER_S):
                await asyncio.sleep(1)
            return _error(503, "SlowDown")
        status, headers, body = await self._forward(request)
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        for start in range(0, len(body), SLOW_BYTES_PER_S):
            await response.write(body[start : start + SLOW_BYTES_PER_S])
            await asyncio.sleep(1)
        return response


def call_of(request: web.Request) -> str:
    query = request.query
    match request.method:
        case "PUT":
            return "UploadPart" if "uploadId" in query else "Put"
        case "POST" if "uploads" in query:
            return "CreateMultipartUpload"
        case "POST" if "uploadId" in query:
            return "CompleteMultipartUpload"
        case "GET" if "list-type" not in query and "uploads" not in query:
            return "Get"
    return request.method


def _whole(status: int, headers: dict[str, str], body: bytes) -> web.Response:
    return web.Response(status=status, headers=headers, body=body)


def _error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=ERROR.format(code=code), content_type="application/xml")


def _cut(request: web.Request) -> web.Response:
    """The connection ends without an answer, by RST."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(
    request: web.Request, status: int, headers: dict[str, str], body: bytes
) -> web.StreamResponse:
    """Sends half of the declared length, then ends the connection. An empty body is declared as one of 100 bytes."""
    declared = len(body) or 100
    response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(declared)})
    await response.prepare(request)
    await response.write(body[: declared // 2])
    if request.transport is not None:
        request.transport.close()
    return response
