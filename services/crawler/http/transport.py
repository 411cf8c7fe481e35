"""One request and its answer over HTTP, redirects included. Every error is a `FetchError`."""

import asyncio
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from services.crawler.adapters.spool import Spool
from services.crawler.domain.error_messages import printable
from services.crawler.domain.fetching import FetchError, RetryPolicy, is_retried
from services.crawler.domain.http_errors import MAX_EXPLANATION_BYTES, http_error_text
from services.crawler.domain.urls import NO_URL, shown_url
from services.crawler.http.address_guard import AllowedHosts, ForbiddenAddressError, check_url
from services.crawler.http.decompression import Decompressor
from services.crawler.http.headers import MAX_HEAD_BYTES, MAX_HEADERS, MAX_LINE_BYTES, LenientResponseHandler
from services.crawler.http.resolver import CheckingResolver

CONNECTIONS = 100
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
MAX_REDIRECTS = 5
SHOWN_CHARS = 100
READ_CHUNK_BYTES = 64 * 1024

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_READY = 202


@dataclass(frozen=True, slots=True)
class Response:
    answered_url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: Spool
    is_direct: bool = True
    """No redirect led to it."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent. `url` and headers may hold secrets; `shown_url` holds none."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    private: frozenset[str] = frozenset()
    """Headers that no other host may be sent, in lower case."""
    shown_url: str = ""

    def redirected(self, url: str, status: int) -> "HttpRequest":
        """What is sent to the place that an answer leads to: to another host without what is private."""
        method, body = self.method, self.body
        headers = dict(self.headers)
        if status in {301, 302, 303} and method != "GET":
            method, body = "GET", None
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        if URL(url).origin() != URL(self.url).origin():
            headers = {name: value for name, value in headers.items() if name.lower() not in self.private}
            if body is not None and self.private:
                body = None
        return HttpRequest(url, method, headers, body, self.private, shown_url(url))


class HttpTransport:
    """One per process, as a context manager. No cookies, no proxies; credentials are the caller's headers."""

    def __init__(
        self,
        *,
        allowed: AllowedHosts,
        user_agent: str,
        timeout_s: float,
        policy: RetryPolicy,
        resolver: CheckingResolver | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._allowed = allowed
        self._policy = policy
        self._timeout_s = timeout_s
        self._read_timeout_s = read_timeout_s
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip, identity;q=0.5",
        }
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS, resolver=self._resolver or CheckingResolver(self._allowed)
        )
        # aiohttp has no public way to set another protocol.
        connector._factory = partial(LenientResponseHandler, asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._read_timeout_s
            ),
            headers=self._headers,
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEAD_BYTES,  # of a header that goes on over several lines
            max_headers=MAX_HEADERS,
        )
        # aiohttp would ask again where a connection is closed; `SourceClient` counts and paces the tries.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public switch
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, folder: Path) -> Response:
        """The answer with its inflated body. Raises `FetchError`; `TransientError` when the scratch disk is full."""
        return await self._answer(HttpRequest(url), folder, any_status=False)

    async def send(self, request: HttpRequest, folder: Path) -> Response:
        """As `get`, of any request; an answer of any status is one, its body cut where it is an error's."""
        return await self._answer(request, folder, any_status=True)

    async def _answer(self, request: HttpRequest, folder: Path, *, any_status: bool) -> Response:
        body = Spool(folder)
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                return await self._follow(request, body, deadline, any_status=any_status)
        except BaseException as error:
            body.close()
            if isinstance(error, TimeoutError):
                words = f"no whole answer within {self._timeout_s:g} s (ONPOINT_CRAWL_TIMEOUT_S)"
                raise FetchError(words, outcome="timeout", retryable=True) from error
            raise

    async def _follow(
        self, request: HttpRequest, body: Spool, deadline: asyncio.Timeout, *, any_status: bool
    ) -> Response:
        patience_s = self._policy.retry_after_cap_s
        asked = url = request.url
        for _ in range(MAX_REDIRECTS + 1):
            try:
                target = await self._hop(request, body, any_status=any_status)
            except FetchError as error:
                raise error if url == asked else error.after_redirect(url) from error
            if isinstance(target, Response):
                return replace(target, is_direct=url == asked)
            url, wait_s, status = target
            request = _checked_redirect(request, url, status)
            if wait_s := min(wait_s, patience_s):
                patience_s -= wait_s
                deadline.reschedule((deadline.when() or 0.0) + wait_s)
                await asyncio.sleep(wait_s)
        words = f"more than {MAX_REDIRECTS} redirects, the last to {shown_url(url)}"
        raise FetchError(words, outcome="redirect", retryable=False)

    async def _hop(
        self, request: HttpRequest, body: Spool, *, any_status: bool
    ) -> Response | tuple[str, float, int]:
        """As `_once`; what aiohttp raises becomes a `FetchError`."""
        try:
            url = check_url(request.url, self._allowed)
            return await self._once(url, request, body, any_status=any_status)
        except FetchError as error:
            if error.outcome == "body":
                error.fingerprint = str(error).encode() + await asyncio.to_thread(body.digest)
            raise
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                raise
            raise translate(error, read_timeout_s=self._read_timeout_s) from error

    async def _once(
        self, url: URL, request: HttpRequest, body: Spool, *, any_status: bool
    ) -> Response | tuple[str, float, int]:
        """The answer, or where it redirects to, after how many seconds, and by which status."""
        if self._session is None:
            raise RuntimeError("the transport is not open")
        async with self._session.request(
            request.method, url, headers=request.headers, data=request.body, allow_redirects=False
        ) as response:
            if response.status in REDIRECTS:
                return _redirect_target(response), self._retry_after_s(response) or 0.0, response.status
            is_success = HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES
            if not is_success or response.status == NOT_READY:
                if not any_status:
                    raise await self._refusal(response)
                body.write(await _explanation(response))
                return Response(str(url), response.status, _headers_of(response), body)
            decompressor = Decompressor(response.headers.getall("Content-Encoding", []))
            async for chunk in response.content.iter_chunked(READ_CHUNK_BYTES):
                for piece in decompressor.feed(chunk):
                    body.write(piece)
            decompressor.finish()
            return Response(str(url), response.status, _headers_of(response), body)

    async def _refusal(self, response: aiohttp.ClientResponse) -> FetchError:
        status, retry_after_s = response.status, self._retry_after_s(response)
        if status == NOT_READY:
            outcome = "not_ready"
        else:
            outcome = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "client_error"
        return FetchError(
            http_error_text(status, await _explanation(response)),
            outcome=outcome,
            retryable=status == NOT_READY or is_retried(status) or retry_after_s is not None,
            status=status,
            retry_after_s=retry_after_s,
        )

    def _retry_after_s(self, response: aiohttp.ClientResponse) -> float | None:
        return self._policy.retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))


def _headers_of(response: aiohttp.ClientResponse) -> Mapping[str, tuple[str, ...]]:
    return {name.lower(): tuple(response.headers.getall(name)) for name in response.headers}


def _checked_redirect(request: HttpRequest, url: str, status: int) -> HttpRequest:
    try:
        return request.redirected(url, status)
    except NO_URL as error:
        raise FetchError(
            f"redirected to {shown_url(url)}, which is not a URL", outcome="redirect", retryable=False
        ) from error


async def _explanation(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body, for its text; nothing where it cannot be read."""
    body = bytearray()
    try:
        decompressor = Decompressor(response.headers.getall("Content-Encoding", []))
        async for chunk in response.content.iter_chunked(MAX_EXPLANATION_BYTES):
            for piece in decompressor.feed(chunk):
                body += piece
                if len(body) >= MAX_EXPLANATION_BYTES:
                    return bytes(body)
    except (FetchError, aiohttp.ClientError, HttpProcessingError, OSError):
        pass
    return bytes(body)


_TRANSLATIONS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (aiohttp.ClientConnectorCertificateError, "the certificate of {host} is not trusted", "tls", False),
    (
        aiohttp.ClientConnectorSSLError,
        "no TLS connection to {host}:{port} can be made: does the host speak https?",
        "tls",
        True,
    ),
    (aiohttp.InvalidURL, "not an URL", "forbidden", False),
    (aiohttp.ClientConnectorDNSError, "the host name {host} cannot be resolved", "connection", True),
    (aiohttp.ClientPayloadError, "the answer broke off", "body", True),
    (aiohttp.ServerDisconnectedError, "the connection was closed", "connection", True),
)
"""Error, its text, its label in the metric, and whether another try may help. The first that fits counts."""


def translate(
    error: aiohttp.ClientError | HttpProcessingError | OSError, *, read_timeout_s: float = READ_TIMEOUT_S
) -> FetchError:
    """What the network or aiohttp raises, as a `FetchError`. It has no status: no server sent one."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ForbiddenAddressError):
        return FetchError(str(cause), outcome="forbidden", retryable=False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        words = f"no connection within {CONNECT_TIMEOUT_S:g} s"
        return FetchError(words, outcome="timeout", retryable=True)
    if isinstance(error, TimeoutError):
        words = f"no answer within {read_timeout_s:g} s (ONPOINT_CRAWL_READ_TIMEOUT_S)"
        return FetchError(words, outcome="timeout", retryable=True)
    for kind, detail, outcome, retryable in _TRANSLATIONS:
        if isinstance(error, kind):
            place = {"host": getattr(error, "host", ""), "port": getattr(error, "port", "")}
            return FetchError(detail.format(**place), outcome=outcome, retryable=retryable)
    return FetchError(_error_text(error)[:300], outcome="connection", retryable=True)


def _error_text(error: aiohttp.ClientError | HttpProcessingError | OSError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {_bracketed(error.host)}:{error.port}: {_cause(error.os_error)}"
    if isinstance(error, OSError):
        return f"the connection broke: {_cause(error)}"
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        # The status 400 is aiohttp's own.
        return f"the answer is not valid HTTP: {error.message.partition(chr(10))[0].rstrip(':')}"
    return str(error) or type(error).__name__


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _cause(error: OSError) -> str:
    """The system's text for the number: asyncio puts its own before it."""
    if error.errno is None or error.errno not in errno.errorcode:
        return error.strerror or str(error)
    return os.strerror(error.errno).lower()


def _redirect_target(response: aiohttp.ClientResponse) -> str:
    location = response.headers.get("Location")
    if location is None:
        raise FetchError(
            f"{http_error_text(response.status, b'')}, a redirect without a location",
            outcome="redirect",
            retryable=False,
            status=response.status,
        )
    try:
        return str(response.url.join(URL(location)))
    except NO_URL as error:
        raise FetchError(
            f"redirected to {printable(location, SHOWN_CHARS)}, which is not a URL",
            outcome="redirect",
            retryable=False,
            status=response.status,
        ) from error
