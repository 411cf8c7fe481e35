"""Looks at the replication slot: one that is gone, or whose WAL is, has lost changes, and that must be loud."""

import asyncio
import math
import time
from dataclasses import dataclass

import asyncpg

from services.s3sink.cdc.wal_clock import WalClock
from shared.errors import TransientError
from shared.observability.logging import get_logger
from shared.observability.metrics import (
    CDC_SLOT_ACTIVE,
    CDC_SLOT_KEPT_BYTES,
    CDC_SLOT_LAG_BYTES,
    CDC_SLOT_LAG_SECONDS,
    CDC_SLOT_LIMIT_BYTES,
    CDC_SLOT_LOST,
)
from shared.postgres.errors import StatementFailedError, translated

SLOT = PUBLICATION = "onpoint_cdc"
EVERY_S = 10.0

_STATE = """
SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS is_registered, s.wal_status,
    coalesce(s.active, false) AS active, (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
    (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint AS confirmed,
    coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint AS kept_bytes,
    (SELECT setting::bigint * 1024 * 1024 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS limit_bytes
FROM (SELECT) AS one LEFT JOIN pg_replication_slots s ON s.slot_name = $1
"""
_ADVICE = "changes of every table are lost: `onpoint cdc resnapshot --all` begins anew"

log = get_logger()


@dataclass(frozen=True, slots=True)
class Slot:
    """As PostgreSQL has it. LSNs are numbers of bytes."""

    is_registered: bool
    wal_status: str | None
    """reserved, extended, unreserved, or lost; None: there is no slot."""
    active: bool
    written: int
    confirmed: int | None
    """The LSN up to which every change is in Kafka."""
    kept_bytes: int
    limit_bytes: int
    """Below 0: none."""

    @property
    def problem(self) -> str | None:
        """Why changes are lost; None: they are not, or nothing is registered."""
        if not self.is_registered:
            return None
        if self.wal_status is None:
            return f"there is no replication slot {SLOT}: {_ADVICE}"
        if self.wal_status == "lost":
            return f"the replication slot {SLOT} fell too far behind, its WAL is gone: {_ADVICE}"
        return None


class SlotWatch:
    def __init__(self, pool: asyncpg.Pool, every_s: float = EVERY_S) -> None:
        self._pool = pool
        self._every_s = every_s
        self._problem: str | None = None
        self._clock = WalClock()
        self.lag_s = 0.0
        """For how long there has been WAL that is not confirmed. Not known better than to the pause between two looks."""

    async def run(self) -> None:
        """Never returns. An outage of PostgreSQL says nothing about the slot."""
        while True:
            try:
                self._judge(await self.look())
            except (TransientError, StatementFailedError) as error:
                log.debug("slot_not_seen", why=str(error))
            await asyncio.sleep(self._every_s)

    async def look(self) -> Slot:
        """Raises `DatabaseUnavailableError` in an outage."""
        with translated():
            [row] = await self._pool.fetch(_STATE, SLOT, PUBLICATION)
        return Slot(**row)

    def problems(self) -> list[str]:
        return [] if self._problem is None else [self._problem]

    def _judge(self, slot: Slot) -> None:
        problem = slot.problem
        if problem is not None and problem != self._problem:
            log.error("slot_lost", why=problem)
        if problem is None and self._problem is not None:
            log.info("slot_is_back")
        self._problem = problem
        if slot.confirmed is not None:
            self.lag_s = self._clock.lag_s(time.monotonic(), slot.written, slot.confirmed)
            CDC_SLOT_LAG_BYTES.set(max(0, slot.written - slot.confirmed))
        CDC_SLOT_LAG_SECONDS.set(self.lag_s)
        CDC_SLOT_KEPT_BYTES.set(slot.kept_bytes)
        CDC_SLOT_LIMIT_BYTES.set(slot.limit_bytes if slot.limit_bytes >= 0 else math.inf)
        CDC_SLOT_ACTIVE.set(int(slot.active))
        CDC_SLOT_LOST.set(int(problem is not None))
