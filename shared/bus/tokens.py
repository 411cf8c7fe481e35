"""The access token with which a client logs in: kept until shortly before it expires, asked for once at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

LEFT_RATIO = 0.2
LEFT_AT_MOST_S = 60.0
"""A token is replaced while a fifth of its time is left, of a long one the last minute: a login takes its time, the
clocks of broker and endpoint differ, and where the endpoint is away meanwhile the old token still serves."""

PAUSE_S = 1.0
"""After a failure the endpoint is left alone for that long: a client whose connection fails tries ten times a second."""


class TokenUnavailableError(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """No token, so no connection. aiokafka takes it for a failed connection and tries again."""

    def __str__(self) -> str:
        """Without the class name that aiokafka puts before it."""
        return str(self.args[0])


class TokenEndpointAwayError(TokenUnavailableError):
    """The endpoint does not answer, or answers that it cannot now."""

    retriable = True


class TokenRefusedError(TokenUnavailableError):
    """The endpoint answers, and gives this client no token."""


@dataclass(frozen=True)
class Token:
    value: str = field(repr=False)
    lifetime_s: float


class CachedTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """What aiokafka asks for a token at each connection. One for all clients of a process."""

    def __init__(
        self, ask: Callable[[], Awaitable[Token]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._token: Token | None = None
        self._failure: TokenUnavailableError | None = None
        self._expires = 0.0
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why there is no token; None: there is one, or none was asked for."""
        return None if self._failure is None else str(self._failure)

    async def token(self) -> str:
        """Raises `TokenRefusedError`, `TokenEndpointAwayError`."""
        if self._clock() >= self._until:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._renew())
            # A caller that gives up takes the token from no other.
            await asyncio.shield(self._asking)
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)
        if self._token is None:
            raise RuntimeError("there is neither a token nor a reason")
        return self._token.value

    async def _renew(self) -> None:
        began = self._clock()
        try:
            token = await self._ask()
        except TokenUnavailableError as error:
            self._until = self._clock() + PAUSE_S
            if self._token is None or self._clock() >= self._expires:
                self._token, self._failure = None, error
            return
        self._token, self._failure = token, None
        self._expires = began + token.lifetime_s
        self._until = self._expires - min(LEFT_AT_MOST_S, token.lifetime_s * LEFT_RATIO)
