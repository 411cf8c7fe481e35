"""Where the crawler may connect to: public addresses, and the private hosts that the operator names.

A source's answers are untrusted: a redirect, a cursor or a name server must not lead the crawler to the private
machines that it can reach.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from yarl import URL

from services.crawler.domain.urls import NO_URL
from shared.net.addresses import is_public

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN_CHARACTER = re.compile(r"[\x00-\x20\x7f\\]")


class ForbiddenAddressError(OSError):
    """An address that must not be connected to. An `OSError`: that is what aiohttp takes from a resolver."""


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Private hosts that may be crawled, by exact name: everywhere, or at one port."""

    entries: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Comma-separated `host[:port]`, IPv6 as `[::1]:8080`. Raises `ValueError` that names the wrong entry."""
        return cls(frozenset(_parse_entry(entry.strip()) for entry in text.split(",") if entry.strip()))

    def __contains__(self, place: tuple[str, int]) -> bool:
        host, port = place
        host = _canonical(host)
        return (host, port) in self.entries or (host, None) in self.entries


def check_url(text: str, allowed: AllowedHosts) -> URL:
    """The URL to request. Raises `ForbiddenAddressError` with the reason as its text.

    A host name is checked again when it is resolved: `check_addresses`.
    """
    if found := _FORBIDDEN_CHARACTER.search(text):
        raise ForbiddenAddressError(f"the URL contains the character {found[0]!r}")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except NO_URL as error:
        raise ForbiddenAddressError(f"not an URL: {error}"[:300]) from error
    if url.scheme not in {"http", "https"}:
        raise ForbiddenAddressError(f"only http and https are crawled, not {url.scheme[:20]!r}")
    if url.raw_user is not None or url.raw_password is not None:
        raise ForbiddenAddressError("the URL contains a user or a password")
    if not host or not port:
        raise ForbiddenAddressError("the URL names no host")
    _check_host(host, port, allowed)
    return url


def check_addresses(host: str, port: int, addresses: Iterable[str], allowed: AllowedHosts) -> None:
    """Raises `ForbiddenAddressError` unless every address of the host may be connected to."""
    if (host, port) in allowed:
        return
    for address in addresses:
        if not is_public(ip_address(address)):
            raise _private(host, port, "" if address == host else f" (at {host})", address)


def _check_host(host: str, port: int, allowed: AllowedHosts) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        if "%" in host:
            raise ForbiddenAddressError(f"{host[:100]!r} names a network interface")
        check_addresses(host, port, [str(address)], allowed)
        return
    if _NUMERIC.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise ForbiddenAddressError(f"{host[:100]!r} is an odd spelling of an address")
    if not _HOST_NAME.fullmatch(host):
        raise ForbiddenAddressError(f"{host[:100]!r} is not a host name")


def _private(host: str, port: int, note: str, address: str) -> ForbiddenAddressError:
    shown = f"[{address}]" if ":" in address else address
    return ForbiddenAddressError(
        f"{shown}:{port}{note} is a private address: to crawl it, add {f'{host}:{port}' if note else f'{shown}:{port}'} "
        "to ONPOINT_CRAWL_ALLOW_HOSTS and restart the crawler, which reads it at its start"
    )


def _parse_entry(entry: str) -> tuple[str, int | None]:
    bare = entry if entry.count(":") > 1 and not entry.startswith("[") else None
    try:
        url = URL(f"http://[{bare}]" if bare else f"http://{entry}")
        port = url.explicit_port
    except ValueError as error:
        raise ValueError(f"{entry!r} is not a host[:port]") from error
    host = url.raw_host
    if (
        not host
        or url.raw_path != "/"
        or url.raw_user
        or url.raw_query_string
        or port == 0
        or _FORBIDDEN_CHARACTER.search(entry)
    ):
        raise ValueError(f"{entry!r} is not a host[:port]")
    return _canonical(host), port


def _canonical(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")
