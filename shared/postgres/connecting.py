"""Opens connections, and logs once that PostgreSQL is unreachable and once that it is reachable again."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg

from shared.observability.logging import get_logger
from shared.postgres.refusals import error_text

KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_MS = 60_000
"""A server that vanishes without a word, as with its host, ends its connections after about a minute."""

log = get_logger()


class Connector:
    """How a pool opens its connections."""

    def __init__(self, address: Callable[[str], str] | None = None) -> None:
        """`address`: the one to connect to now, made of the pool's own; None: that."""
        self._address = address
        self.unreachable_since: datetime | None = None
        """None: the last connection came about, or none was asked for."""

    async def __call__(self, *arguments: Any, **options: Any) -> asyncpg.Connection:
        """As `asyncpg.connect`."""
        if self._address is not None and arguments:
            arguments = (self._address(arguments[0]), *arguments[1:])
        try:
            connection: asyncpg.Connection = await asyncpg.connect(*arguments, **options)
        except Exception as error:
            if self.unreachable_since is None:
                self.unreachable_since = datetime.now(UTC)
                log.warning("postgres_unreachable", why=error_text(error))
            raise
        if self.unreachable_since is not None:
            log.info("postgres_reachable", unreachable_since=self.unreachable_since.isoformat())
            self.unreachable_since = None
        _keep_alive(connection)
        return connection


def _keep_alive(connection: asyncpg.Connection) -> None:
    """The server's own timeouts end nothing here once its answers are lost."""
    found = cast("Any", connection)._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no option for it
    if found is None or found.family == socket.AF_UNIX:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        if (option := getattr(socket, name, None)) is not None:
            found.setsockopt(socket.IPPROTO_TCP, option, value)
