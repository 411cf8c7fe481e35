"""Requests of sources that write them themselves: with credentials, checked by the file's rules, tried again."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.fetching import (
    Answer,
    FetchError,
    FetchFailure,
    RetryPolicy,
    failure_of,
    is_retried,
)
from services.crawler.domain.http_errors import http_error_text
from services.crawler.domain.requests.conditions import Subject
from services.crawler.domain.requests.rendering import NoValueError, RenderedRequest
from services.crawler.domain.requests.rules import asked_wait_s, matching_rule, wait_s
from services.crawler.domain.requests.steps import is_own
from services.crawler.http.credentials import Credential, Credentials, as_http, without_credentials
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport, Response
from shared.datasets.sources.api import RequestSource
from shared.datasets.sources.auth import LoginAuth
from shared.datasets.sources.responses import ResponseRule
from shared.observability.metrics import SOURCE_BYTES, SOURCE_REQUESTS

MOST_WAITED_S = 60.0
"""Of one wait inside a batch. A longer one ends the batch, and the source is left alone until its end."""

MAX_TRIES = 20
UNAUTHORIZED = 401
NOT_READY = 202
MAX_CAUSE_CHARS = 220

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class LongWaitError(Exception):
    """The source asks for more patience than a batch has. `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the source asks to wait {seconds:.0f} s")
        self.seconds = seconds


class Reading(Protocol[T_co]):
    """What is made of an answer."""

    def read(self, subject: Subject, body: bytes) -> T_co:
        """Of an answer that is accepted. Raises `BadBodyError`."""
        ...

    def nothing(self, *, is_over: bool) -> T_co:
        """Of an answer that a rule calls empty."""
        ...


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[T]):
    source: RequestSource
    """With its address filled in."""
    params: Mapping[str, Any]
    """`param.<name>` and its value."""
    render: Callable[[Mapping[str, str]], RenderedRequest]
    """With the source's secrets by name."""
    reading: Reading[T]
    observe: Callable[["RequestTry"], None] = field(default=lambda _: None)
    """Told of every try."""


@dataclass(frozen=True, slots=True)
class RequestTry:
    """One try, for people: nothing in it is secret."""

    method: str
    url: str
    status: int | None
    took_ms: int
    outcome: str


@dataclass(slots=True)
class _Tries:
    made: int = 0
    by_rule: dict[int, int] = field(default_factory=dict)
    is_renewed: bool = False
    unusable: bytes | None = None


class _Again(Exception):  # noqa: N818 - it is no error
    """Another try is to be made."""


class ApiClient:
    """Every try is paced, has a fresh credential, and is checked by the first rule that fits, then by the defaults."""

    def __init__(
        self,
        transport: HttpTransport,
        throttle: SourceThrottle,
        credentials: Credentials,
        policy: RetryPolicy,
    ) -> None:
        self._transport = transport
        self._throttle = throttle
        self._credentials = credentials
        self._policy = policy
        self._one_big_body = asyncio.Lock()

    def paused_s(self, source: RequestSource) -> float:
        return self._throttle.paused_s(source)

    async def ask(self, request: ApiRequest[T], folder: Path) -> Answer[T] | FetchFailure:
        """The answer, or the failure of the last try.

        Raises `LongWaitError` where the source asks for a longer wait than `MOST_WAITED_S`, and `TransientError` (the
        scratch disk is full). Memory: one big body at a time; the others wait on disk.
        """
        tries, shown = _Tries(), ""
        while True:
            tries.made += 1
            began_s = time.monotonic()
            status: int | None = None
            try:
                rendered = request.render(self._credentials.secrets_of(request.source))
                shown = rendered.shown_url
                response, credential = await self._send(request, rendered, folder)
                status = response.status
                try:
                    answer = await self._checked_answer(request, response, credential, tries, shown, began_s)
                finally:
                    response.body.close()
            except _Again:
                self._tell(request, shown, status, began_s, "again")
                continue
            except NoValueError as error:
                return failure_of(shown or request.source.base_url, str(error))
            except FetchError as error:
                self._tell(request, shown, error.status or status, began_s, str(error))
                SOURCE_REQUESTS.labels(request.source.name, error.outcome).inc()
                error.took_s = time.monotonic() - began_s
                if (failure := await self._after_error(request, error, tries, shown)) is not None:
                    return failure
                continue
            SOURCE_REQUESTS.labels(request.source.name, "ok").inc()
            self._tell(request, shown, status, began_s, "ok")
            return answer

    async def _credential(
        self, request: ApiRequest[T], rendered: RenderedRequest, folder: Path
    ) -> Credential:
        if not is_own(request.source, rendered.url):
            return Credential()
        return await self._credentials.of(request.source, request.params, folder)

    async def _send(
        self, request: ApiRequest[T], rendered: RenderedRequest, folder: Path
    ) -> tuple[Response, Credential]:
        """When it is its turn, with a credential of that moment."""
        async with self._throttle.request(request.source):
            credential = await self._credential(request, rendered, folder)
            sent = as_http(rendered, credential)
            if not is_own(request.source, rendered.url):
                sent = without_credentials(sent)
            response = await self._transport.send(sent, folder)
        SOURCE_BYTES.labels(request.source.name).inc(response.body.bytes)
        return response, credential

    async def _checked_answer(
        self,
        request: ApiRequest[T],
        response: Response,
        credential: Credential,
        tries: _Tries,
        shown: str,
        began_s: float,
    ) -> Answer[T]:
        """Raises `_Again`, `FetchError`."""
        if not response.body.is_big:
            value = self._value(request, response, credential, tries, response.body.read())
        else:
            async with self._one_big_body:
                value = await asyncio.to_thread(
                    lambda: self._value(request, response, credential, tries, response.body.read())
                )
        if isinstance(value, _Wait):
            await self._wait(request.source, value.seconds)
            raise _Again
        self._learn(request.source, Subject(b"", response.headers))
        return Answer(
            shown,
            shown if response.is_direct else self._credentials.hide(response.answered_url),
            response.status,
            response.headers,
            value,
            datetime.now(UTC),
            tries=tries.made,
            took_s=time.monotonic() - began_s,
            bytes=response.body.bytes,
        )

    def _value(
        self, request: ApiRequest[T], response: Response, credential: Credential, tries: _Tries, body: bytes
    ) -> "T | _Wait":
        url = self._credentials.hide(response.answered_url)
        subject = Subject(body, response.headers, url)
        rule = matching_rule(request.source.responses, response.status, subject)
        if rule is None:
            return self._by_default(request, response, credential, tries, subject, body)
        match rule.action:
            case "accept":
                return self._read(request, response, subject, body)
            case "empty" | "stop":
                return self._nothing(request, response)
            case "reauthenticate":
                self._renew(response, credential, tries, subject)
            case "fail":
                raise FetchError(
                    self._refusal(response, body, "the file's rule calls this a failure"),
                    outcome="client_error",
                    retryable=False,
                    status=response.status,
                )
        return self._tried_again(request, response, rule, tries, subject)

    def _by_default(
        self,
        request: ApiRequest[T],
        response: Response,
        credential: Credential,
        tries: _Tries,
        subject: Subject,
        body: bytes,
    ) -> "T | _Wait":
        status = response.status
        if 200 <= status < 300 and status != NOT_READY:  # noqa: PLR2004 - success
            return self._read(request, response, subject, body)
        if self._is_renewed_by(request, status) and not tries.is_renewed:
            self._renew(response, credential, tries, subject)
        asked_s = asked_wait_s(subject, datetime.now(UTC)) if status != UNAUTHORIZED else None
        has_asked = subject.header("retry-after") is not None
        raise FetchError(
            self._refusal(response, body),
            outcome="server_error" if status >= 500 else "client_error",  # noqa: PLR2004 - the class of server errors
            retryable=is_retried(status) or status == NOT_READY or has_asked,
            status=status,
            retry_after_s=asked_s if is_retried(status) or has_asked else None,
        )

    @staticmethod
    def _is_renewed_by(request: ApiRequest[T], status: int) -> bool:
        again = [auth.again_on for auth in request.source.auth if isinstance(auth, LoginAuth)]
        return status in (again[0] if again else {UNAUTHORIZED})

    def _renew(self, response: Response, credential: Credential, tries: _Tries, subject: Subject) -> NoReturn:
        """Raises `_Again` where the credential can be had anew, and was not yet."""
        if not tries.is_renewed and self._credentials.forget(credential):
            tries.is_renewed = True
            raise _Again
        raise FetchError(
            self._refusal(response, bytes(subject.body)),
            outcome="client_error",
            retryable=False,
            status=response.status,
        )

    def _tried_again(
        self, request: ApiRequest[T], response: Response, rule: ResponseRule, tries: _Tries, subject: Subject
    ) -> "T | _Wait":
        place = request.source.responses.index(rule)
        tries.by_rule[place] = count = tries.by_rule.get(place, 0) + 1
        # Waiting for a budget is no failure of the source: it has more tries.
        most = rule.tries or (MAX_TRIES if rule.action == "wait" else self._policy.tries)
        if count >= most:
            if rule.after != "fail":
                return self._nothing(request, response)
            raise FetchError(
                self._refusal(response, bytes(subject.body)),
                outcome="client_error",
                retryable=False,
                status=response.status,
            )
        seconds = wait_s(rule.wait, subject, datetime.now(UTC))
        return _Wait(
            self._policy.delay_s(count) if seconds is None else seconds, is_asked=seconds is not None
        )

    @staticmethod
    def _nothing(request: ApiRequest[T], response: Response) -> T:
        """Raises `FetchError` where the answer may not be empty."""
        try:
            return request.reading.nothing(is_over=True)
        except BadBodyError as error:
            raise FetchError(
                str(error), outcome=error.outcome, retryable=False, status=response.status
            ) from error

    def _read(self, request: ApiRequest[T], response: Response, subject: Subject, body: bytes) -> T:
        try:
            return request.reading.read(subject, body)
        except BadBodyError as error:
            raise FetchError(
                self._credentials.hide(str(error)),
                outcome=error.outcome,
                retryable=error.retryable,
                status=response.status,
                fingerprint=response.body.digest(),
            ) from error

    def _refusal(self, response: Response, body: bytes, more: str = "") -> str:
        text = self._credentials.hide(http_error_text(response.status, body))
        return f"{text} ({more})" if more else text

    def _learn(self, source: RequestSource, subject: Subject) -> None:
        """A budget that is spent: nothing more before it is filled again."""
        limits = source.limits
        if limits.remaining is None or limits.reset is None or subject.header(limits.remaining) != "0":
            return
        reset = Subject(b"", {"ratelimit-reset": (subject.header(limits.reset) or "",)})
        if seconds := asked_wait_s(reset, datetime.now(UTC)):
            self._throttle.pause(source, seconds)

    async def _wait(self, source: RequestSource, seconds: float) -> None:
        """Raises `LongWaitError`."""
        if seconds > self._policy.delay_s(1):
            self._throttle.pause(source, seconds)
        if seconds > MOST_WAITED_S:
            raise LongWaitError(seconds)
        await asyncio.sleep(seconds)

    async def _after_error(
        self, request: ApiRequest[T], error: FetchError, tries: _Tries, shown: str
    ) -> FetchFailure | None:
        """The failure, or None after the pause before another try."""
        is_same = error.fingerprint is not None and error.fingerprint == tries.unusable
        if not error.retryable or is_same or tries.made >= self._policy.tries:
            detail = self._credentials.hide(str(error))
            detail = detail if len(detail) <= MAX_CAUSE_CHARS else detail[:MAX_CAUSE_CHARS].rstrip() + "..."
            if tries.made > 1:
                detail += f" (tried {tries.made} times{', same answer' if is_same else ''})"
            return failure_of(
                shown or request.source.base_url, detail, error.status, tries=tries.made, took_s=error.took_s
            )
        tries.unusable = error.fingerprint
        if error.retry_after_s is not None:
            await self._wait(request.source, max(error.retry_after_s, self._policy.delay_s(tries.made)))
        else:
            await asyncio.sleep(self._policy.delay_s(tries.made))
        return None

    def _tell(
        self, request: ApiRequest[T], shown: str, status: int | None, began_s: float, outcome: str
    ) -> None:
        took_ms = round((time.monotonic() - began_s) * 1000)
        method = request.source.request.method
        request.observe(RequestTry(method, shown, status, took_ms, self._credentials.hide(outcome)))


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds: float
    is_asked: bool = True
