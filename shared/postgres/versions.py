"""The versions of PostgreSQL that OnPoint works with."""

from typing import Protocol

from asyncpg.types import ServerVersion

from shared.errors import ConfigurationError

OLDEST = 15
"""The tests run on it too."""

RETURNS_OLD_ROWS = 18
"""From this one on RETURNING can name the row that was replaced."""

LIMITS_TRANSACTIONS = 17
"""From this one on there is `transaction_timeout`."""


class HasVersion(Protocol):
    """A connection, or a pool's proxy of one."""

    def get_server_version(self) -> ServerVersion: ...


def check_version(connection: HasVersion) -> None:
    """Raises `ConfigurationError` for a server that is too old."""
    version = connection.get_server_version()
    if version.major < OLDEST:
        raise ConfigurationError(
            f"the server is PostgreSQL {version.major}.{version.micro}, and OnPoint needs {OLDEST} or later: update it, "
            "or name another server in ONPOINT_POSTGRES_DSN"
        )
