"""What a service needs of PostgreSQL before it starts: a server that answers, and the migrations of its own code."""

import asyncio
from collections.abc import Sequence

import asyncpg

from shared.observability.logging import get_logger
from shared.postgres.errors import DatabaseUnavailableError, StatementFailedError, translated
from shared.postgres.migrations import Migration, missing_migrations
from shared.postgres.pool import CONNECT_RETRY_S, ReportWaiting
from shared.postgres.versions import check_version

log = get_logger()


async def wait_for_database(
    pool: asyncpg.Pool, needed: Sequence[Migration], waits_for: ReportWaiting
) -> None:
    """Returns when every needed migration is applied, and waits for that without end.

    A server that goes away meanwhile is waited for too. Raises `ConfigurationError` for a server that is too old.
    """
    logged = None
    while True:
        try:
            lack = await _lack(pool, needed)
        except (DatabaseUnavailableError, StatementFailedError) as error:
            waits_for(f"waiting for PostgreSQL: {error}")
        else:
            waits_for(lack)
            if lack is None:
                return
            if lack != logged:
                log.warning("waiting_for_migrations", why=lack)
                logged = lack
        await asyncio.sleep(CONNECT_RETRY_S)


async def _lack(pool: asyncpg.Pool, needed: Sequence[Migration]) -> str | None:
    with translated():
        async with pool.acquire() as connection:
            check_version(connection)
            missing = await missing_migrations(connection, needed)
    if not missing:
        return None
    names = ", ".join(f"{migration.service} {migration.number}" for migration in missing)
    noun = "migration" if len(missing) == 1 else "migrations"
    return f"waiting for {noun} {names}: run `onpoint migrate`"
