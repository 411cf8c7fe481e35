"""Opens connections, and logs once that PostgreSQL is unreachable and once that it is reachable again."""

from datetime import UTC, datetime
from typing import Any

import asyncpg

from shared.observability.logging import get_logger
from shared.postgres.refusals import error_text

log = get_logger()


class Connector:
    """How a pool opens its connections."""

    def __init__(self) -> None:
        self.unreachable_since: datetime | None = None
        """None: the last connection came about, or none was asked for."""

    async def __call__(self, *arguments: Any, **options: Any) -> asyncpg.Connection:
        """As `asyncpg.connect`."""
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
        return connection
