import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from services.crawler.http.address_guard import AllowedHosts, check_addresses


class CheckingResolver(AbstractResolver):
    """Resolves a name once and returns the addresses that it checked: a second look-up could answer otherwise."""

    def __init__(self, allowed: AllowedHosts, inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises `ForbiddenAddressError` unless every address may be connected to."""
        found = await self._inner.resolve(host, port, family)
        check_addresses(host, port, [result["host"] for result in found], self._allowed)
        return found

    async def close(self) -> None:
        await self._inner.close()
