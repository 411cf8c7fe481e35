"""One POST to an address of the operator: to public addresses only, unless the channel allows private ones."""

import socket
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from shared.net.addresses import is_public
from shared.news.channels.base import SEND_TIMEOUT_S
from shared.news.errors import ChannelRefusedError, ChannelUnavailableError

ANSWER_BYTES = 4096
"""Of an answer; the rest is not read."""

SHOWN_CHARS = 200

MAX_RETRY_AFTER_S = 3600.0

_LATER = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT}
)
"""Of the client's errors, those that pass."""

HINT = "set `allow_private: true` in the channel if it is meant"


class PrivateAddressError(OSError):
    """An `OSError`: that is what aiohttp takes from a resolver."""


class PublicResolver(AbstractResolver):
    """Resolves a name once and returns the addresses that it checked: a second look-up could answer otherwise."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises `PrivateAddressError` unless every address of the host may be connected to."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            check_address(result["host"], allow_private=self._allow_private)
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_address(address: str, *, allow_private: bool) -> None:
    """Raises `PrivateAddressError` where the address may not be connected to."""
    if not allow_private and not is_public(ip_address(address)):
        raise PrivateAddressError(f"{address} is a private address: {HINT}")


async def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> None:
    """Returns once the server has answered with a 2xx. No redirect is followed, no proxy of the environment used.

    Raises `ChannelUnavailableError` and `ChannelRefusedError`, which never contain the address.
    """
    timeout = aiohttp.ClientTimeout(total=SEND_TIMEOUT_S)
    try:
        _check_literal(url, allow_private=allow_private)
        connector = aiohttp.TCPConnector(
            resolver=PublicResolver(allow_private=allow_private), force_close=True, use_dns_cache=False
        )
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False, timeout=timeout) as session,
            session.post(url, data=body, headers=dict(headers), allow_redirects=False) as answer,
        ):
            text = (await answer.content.read(ANSWER_BYTES)).decode("utf-8", "replace")
            _check_answer(answer.status, text, answer.headers.get("Retry-After"))
    except PrivateAddressError as error:
        raise ChannelRefusedError(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, PrivateAddressError):
            raise ChannelRefusedError(str(error.os_error)) from error
        reason = error.os_error.strerror or type(error).__name__
        raise ChannelUnavailableError(f"the server cannot be reached: {reason}") from error
    except aiohttp.InvalidURL as error:
        raise ChannelRefusedError("its address is not a URL") from error
    except TimeoutError as error:
        raise ChannelUnavailableError(
            f"no answer within {SEND_TIMEOUT_S:.0f} seconds", in_doubt=True
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise ChannelUnavailableError(
            f"the connection broke before the answer: {type(error).__name__}", in_doubt=True
        ) from error


def _check_literal(url: str, *, allow_private: bool) -> None:
    """An address that is written as such is not resolved. Raises `PrivateAddressError`."""
    host = URL(url).raw_host or ""
    try:
        ip_address(host)
    except ValueError:
        return
    check_address(host, allow_private=allow_private)


def _check_answer(status: int, text: str, retry_after: str | None) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SHOWN_CHARS]
    said = f"the server answered {status}" + (f": {shown}" if shown else "")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        raise ChannelUnavailableError(said, retry_after_s=_seconds(retry_after))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        said += " (redirects are not followed: write the address that it leads to)"
    raise ChannelRefusedError(said)


def _seconds(retry_after: str | None) -> float | None:
    """A date instead of seconds is left to the sender's own pauses."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), MAX_RETRY_AFTER_S)
