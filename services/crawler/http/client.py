"""Requests to sources: paced, tried again, parsed."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from services.crawler.adapters.spool import Spool
from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.fetching import Answer, FetchError, FetchFailure, RetryPolicy, failure_of
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from shared.datasets.model import ApiSource
from shared.observability import tracing
from shared.observability.metrics import SOURCE_BYTES, SOURCE_REQUESTS

MAX_CAUSE_CHARS = 220
"""Fits whole into the reason of a missing page."""

T = TypeVar("T")


class SourceClient:
    """Requests at the source's rate, a bounded number of times, with growing pauses."""

    def __init__(self, transport: HttpTransport, throttle: SourceThrottle, policy: RetryPolicy) -> None:
        self._transport = transport
        self._throttle = throttle
        self._policy = policy
        self._one_big_body = asyncio.Lock()

    async def __call__(
        self, source: ApiSource, url: str, parse: Callable[[bytes], T], folder: Path
    ) -> Answer[T] | FetchFailure:
        """The parsed answer, or the failure. A body that `parse` refuses is a failed try; a second one with the same bytes
        is the last.

        Raises `TransientError` only (the scratch disk is full). Memory: one big body per process; the others wait on disk.
        """
        unusable: bytes | None = None
        for tried in range(1, self._policy.tries + 1):
            try:
                answer = replace(await self._try(source, url, parse, folder), tries=tried)
            except FetchError as error:
                SOURCE_REQUESTS.labels(source.name, error.outcome).inc()
                is_same = error.fingerprint is not None and error.fingerprint == unusable
                if not error.retryable or is_same or tried == self._policy.tries:
                    return _failure(url, error, tried, is_same=is_same)
                unusable = error.fingerprint
                await self._pause(source, error, tried)
            else:
                SOURCE_REQUESTS.labels(source.name, "ok").inc()
                return answer
        raise AssertionError("unreachable")

    async def _try(self, source: ApiSource, url: str, parse: Callable[[bytes], T], folder: Path) -> Answer[T]:
        async with self._throttle.request(source):
            began_s = time.monotonic()
            try:
                with tracing.one_of_many(
                    "fetch", "client", {"http.request.method": "GET", "onpoint.source": source.name}
                ):
                    response = await self._transport.get(url, folder)
            except FetchError as error:
                error.took_s = time.monotonic() - began_s
                raise
        took_s = time.monotonic() - began_s
        SOURCE_BYTES.labels(source.name).inc(response.body.bytes)
        fetched_at = datetime.now(UTC)
        try:
            value = await self._parse(response.body, parse)
        except BadBodyError as error:
            unusable = FetchError(
                str(error),
                outcome=error.outcome,
                retryable=error.retryable,
                status=response.status,
                fingerprint=await asyncio.to_thread(response.body.digest),
            )
            unusable.took_s = took_s
            led = response.answered_url
            raise unusable if response.is_direct else unusable.after_redirect(led) from error
        finally:
            response.body.close()
        return Answer(
            url,
            response.answered_url,
            response.status,
            response.headers,
            value,
            fetched_at,
            took_s=took_s,
            bytes=response.body.bytes,
        )

    async def _parse(self, body: Spool, parse: Callable[[bytes], T]) -> T:
        if not body.is_big:
            return parse(body.read())
        async with self._one_big_body:
            return await asyncio.to_thread(lambda: parse(body.read()))

    async def _pause(self, source: ApiSource, error: FetchError, tried: int) -> None:
        if error.retry_after_s is not None:
            self._throttle.pause(source, error.retry_after_s)
        await asyncio.sleep(max(error.retry_after_s or 0.0, self._policy.delay_s(tried)))


def _failure(url: str, error: FetchError, tried: int, *, is_same: bool) -> FetchFailure:
    """The cause first; then the number of tries."""
    detail = str(error)
    detail = detail if len(detail) <= MAX_CAUSE_CHARS else detail[:MAX_CAUSE_CHARS].rstrip() + "..."
    if tried > 1:
        detail += (
            f" (tried {'twice' if tried == 2 else f'{tried} times'}{', same answer' if is_same else ''})"  # noqa: PLR2004 - a word
        )
    return failure_of(url, detail, error.status, tries=tried, took_s=error.took_s)
