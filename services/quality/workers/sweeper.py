"""The scheduled sweep. `onpoint sweep` runs the same by hand."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from shared.errors import TransientError
from shared.lake.settings import LakeSettings
from shared.observability.logging import get_logger
from shared.observability.metrics import BYTES_SWEPT, OBJECTS_SWEPT
from shared.storage.object_store import ObjectStore
from shared.sweep.ports import RunIndex, Uploads
from shared.sweep.rules import Limits, SweepReport
from shared.sweep.settings import SweepSettings
from shared.sweep.sweep import Removal, Sweep

FIRST_AFTER_S = 60
"""A process that is often restarted must come to sweep too, but not before it has caught up."""

log = get_logger()


class Sweeper:
    def __init__(
        self,
        staging: ObjectStore,
        lake: ObjectStore,
        index: RunIndex,
        open_uploads: Callable[[], AbstractAsyncContextManager[Uploads]],
        settings: SweepSettings,
        lake_settings: LakeSettings,
    ) -> None:
        self._staging = staging
        self._lake = lake
        self._index = index
        self._open_uploads = open_uploads
        self._settings = settings
        self._lake_settings = lake_settings

    async def sweep_forever(self) -> None:
        """Replicas may sweep at once: that removes nothing twice and nothing more."""
        await asyncio.sleep(min(FIRST_AFTER_S, self._settings.sweep_interval_s))
        while True:
            try:
                await self.sweep()
            except TransientError as outage:
                log.warning("sweep_waits", error=str(outage))
            except Exception:
                # Housekeeping that fails must not take the ledger down with it.
                log.exception("sweep_failed")
            await asyncio.sleep(self._settings.sweep_interval_s)

    async def sweep(self) -> SweepReport:
        limits = Limits(
            ttl=timedelta(hours=self._settings.staging_ttl_hours),
            lake_grace=timedelta(hours=self._lake_settings.lake_grace_hours),
        )
        async with self._open_uploads() as uploads:
            sweep = Sweep(self._staging, self._lake, self._index, uploads, limits=limits, on_removal=_count)
            report = await sweep.run()
        log.info("swept", objects=report.total.count, bytes=report.total.bytes)
        return report


def _count(removal: Removal) -> None:
    OBJECTS_SWEPT.labels(removal.kind).inc()
    BYTES_SWEPT.labels(removal.kind).inc(removal.bytes)
