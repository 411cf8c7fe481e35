"""Looks at the replication slot: one that is gone, or whose WAL is, has lost changes, and that must be loud."""

import asyncio

import asyncpg

from shared.errors import TransientError
from shared.observability.logging import get_logger
from shared.observability.metrics import CDC_SLOT_LAG_BYTES, CDC_SLOT_LOST
from shared.postgres.errors import StatementFailedError, translated

SLOT = PUBLICATION = "onpoint_cdc"
EVERY_S = 10.0

_STATE = """
SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS is_registered, s.wal_status,
    (pg_current_wal_lsn() - s.confirmed_flush_lsn)::bigint AS lag_bytes
FROM (SELECT) AS one LEFT JOIN pg_replication_slots s ON s.slot_name = $1
"""
_ADVICE = "changes of every table are lost: `onpoint cdc resnapshot --all` begins anew"

log = get_logger()


class SlotWatch:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._problem: str | None = None

    async def run(self) -> None:
        """Never returns. An outage of PostgreSQL says nothing about the slot."""
        while True:
            try:
                self._judge(await self.look())
            except (TransientError, StatementFailedError) as error:
                log.debug("slot_not_seen", why=str(error))
            await asyncio.sleep(EVERY_S)

    async def look(self) -> str | None:
        """Why changes are lost; None: they are not, or nothing is registered."""
        with translated():
            row = await self._pool.fetchrow(_STATE, SLOT, PUBLICATION)
        if row is None or not row["is_registered"]:
            return None
        if row["wal_status"] is None:
            return f"there is no replication slot {SLOT}: {_ADVICE}"
        if row["wal_status"] == "lost":
            return f"the replication slot {SLOT} fell too far behind, its WAL is gone: {_ADVICE}"
        CDC_SLOT_LAG_BYTES.set(row["lag_bytes"] or 0)
        return None

    def problems(self) -> list[str]:
        return [] if self._problem is None else [self._problem]

    def _judge(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.error("slot_lost", why=problem)
        if problem is None and self._problem is not None:
            log.info("slot_is_back")
        self._problem = problem
        CDC_SLOT_LOST.set(int(problem is not None))
