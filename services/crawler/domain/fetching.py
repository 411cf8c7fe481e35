"""The outcome of a request, and when it is tried again."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from services.crawler.domain.urls import shown_url
from shared.datasets.model import ApiSource

RETRIED_STATUSES = frozenset({408, 425, 429})
"""Besides 5xx, and whatever comes with a `Retry-After`. Other 4xx are answers."""

MAX_ETAG_CHARS = 200

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    tries: int = 5
    base_s: float = 0.2
    cap_s: float = 5.0
    retry_after_cap_s: float = 60.0

    def delay_s(self, failed_tries: int) -> float:
        """Exponential with full jitter, so that many clients do not try again at the same moment."""
        return random.uniform(0, min(self.cap_s, self.base_s * 2 ** (failed_tries - 1)))  # noqa: S311 - not a secret

    def retry_after_s(self, header: str | None, now: datetime) -> float | None:
        """The pause that the source asks for: seconds or an HTTP date, capped; None: it asks for none."""
        if header is None:
            return None
        text = header.strip()
        if _SECONDS.fullmatch(text):
            return min(self.retry_after_cap_s, float(text[:9]))
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the second for a year, an hour or a zone beyond any clock
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return min(self.retry_after_cap_s, max(0.0, (date - now).total_seconds()))


class FetchError(Exception):
    """One try failed. `outcome` is a metric's label, `status` the HTTP status where there was one.

    `fingerprint`: of the body that cannot be used; a source that sends the same again will not send another.
    """

    def __init__(
        self,
        detail: str,
        *,
        outcome: str,
        retryable: bool,
        status: int | None = None,
        retry_after_s: float | None = None,
        fingerprint: bytes | None = None,
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retryable = retryable
        self.status = status
        self.retry_after_s = retry_after_s
        self.fingerprint = fingerprint
        self.took_s: float | None = None
        """Of this try, where the source was asked."""

    def after_redirect(self, url: str) -> "FetchError":
        """The same, of a request that was led to `url`."""
        error = FetchError(
            f"redirected to {shown_url(url)}: {self}",
            outcome=self.outcome,
            retryable=self.retryable,
            status=self.status,
            retry_after_s=self.retry_after_s,
            fingerprint=self.fingerprint,
        )
        error.took_s = self.took_s
        return error


def is_retried(status: int) -> bool:
    return status in RETRIED_STATUSES or status >= 500  # noqa: PLR2004 - the class of server errors


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """A request that succeeded. `url` was asked for, `answered_url` answered (after redirects)."""

    url: str
    answered_url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    """Names in lower case; a header may come several times."""
    value: T_co
    fetched_at: datetime
    tries: int = 1
    took_s: float | None = None
    """Of the last try: from its turn to the whole answer."""
    bytes: int | None = None
    """Of the body, decompressed."""

    @property
    def etag(self) -> str | None:
        """As the source sent it, printable and cut."""
        found = self.header("etag")
        return None if found is None else printable(found)[:MAX_ETAG_CHARS]

    def header(self, name: str) -> str | None:
        values = self.headers.get(name.lower())
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """A request that finally failed: data, like any other answer."""

    url: str
    status: int | None
    detail: str
    fetched_at: datetime
    tries: int = 1
    took_s: float | None = None
    """Of the last try."""


def failure_of(
    url: str, detail: str, status: int | None = None, *, tries: int = 1, took_s: float | None = None
) -> FetchFailure:
    """A failure, now. What a source sent may be in both texts: they are made printable, so that any store takes them."""
    return FetchFailure(printable(url), status, printable(detail), datetime.now(UTC), tries, took_s)


def printable(text: str) -> str:
    """What a source sent, in characters that any store takes."""
    return text.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")


class Fetch(Protocol):
    async def __call__(
        self, source: ApiSource, url: str, parse: Callable[[bytes], T], folder: Path
    ) -> Answer[T] | FetchFailure:
        """Requests at the source's rate, several times if need be. `folder` holds bodies too big for memory.

        Raises `TransientError` only.
        """
        ...
