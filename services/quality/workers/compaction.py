"""The scheduled compaction. `onpoint lake compact` does the same by hand."""

import asyncio
from collections.abc import Callable

from shared.errors import TransientError
from shared.lake.compact import Compactor, Report
from shared.lake.repository import CompactionRepository
from shared.observability.logging import get_logger

FIRST_AFTER_S = 60
"""A process that is often restarted must come to it too, but not before it has caught up."""

log = get_logger()


class ScheduledCompaction:
    def __init__(
        self, repository: CompactionRepository, compactor: Callable[[], Compactor], interval_s: int
    ) -> None:
        """A compactor serves one turn."""
        self._repository = repository
        self._compactor = compactor
        self._interval_s = interval_s

    async def compact_forever(self) -> None:
        """Replicas may compact at once: a dataset that one has is left to it."""
        await asyncio.sleep(min(FIRST_AFTER_S, self._interval_s))
        while True:
            try:
                await self.compact()
            except TransientError as outage:
                log.warning("compaction_waits", error=str(outage))
            except Exception:
                # Housekeeping that fails must not take the ledger down with it.
                log.exception("compaction_failed")
            await asyncio.sleep(self._interval_s)

    async def compact(self) -> Report:
        return await self._compactor().run(await self._repository.datasets())
