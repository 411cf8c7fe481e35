"""Writes `_runs/<run_id>.json`, and keeps it in step with the ledger after the run has ended."""

import asyncio
from pathlib import Path

from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.listings import ListingRepository
from services.quality.domain.listing import listing
from shared import crashpoints
from shared.errors import TransientError
from shared.events.models import RunCompleted
from shared.observability.logging import get_logger
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore

REST_S = 60.0
"""The pause after a listing could not be written for a reason other than an outage."""

log = get_logger()


class Listings:
    """Raises `DatabaseUnavailableError` and `StorageUnavailableError` in an outage."""

    def __init__(
        self, repository: ListingRepository, completions: CompletionRepository, lake: ObjectStore
    ) -> None:
        self._repository = repository
        self._completions = completions
        self._lake = lake
        self._backing_off: dict[str, float] = {}

    async def write(self, completed: RunCompleted) -> int:
        """Writes the listing as the ledger has it now; as of how many changes. Memory is one file's entry."""
        head = await self._repository.head(completed.run_id)
        with scratch_folder() as folder:
            file = folder / "listing.json"
            await self._assemble(completed, head.superseded_by, file)
            await self._lake.put(keys.listing_key(completed.run_id), file)
        return head.changes

    async def written(self, run_id: str, changes: int) -> None:
        """Stores what `write` returned. Otherwise, or if another writer was faster, the listing is written once more."""
        await self._repository.written(run_id, changes)

    async def rewrite(self, run_id: str) -> None:
        """Writes the listing of a run that has ended once more. Idempotent."""
        completed = await self._completions.verdict(run_id)
        if completed is None:
            raise LookupError(run_id)
        changes = await self.write(completed)
        crashpoints.reach("quality.relisted")
        await self.written(run_id, changes)
        log.info("listing_rewritten", listed_run_id=run_id, changes=changes)

    async def catch_up(self) -> int:
        """Rewrites the listings that a redriven batch or a replay made stale; returns their number."""
        now_s = asyncio.get_running_loop().time()
        self._backing_off = {run_id: until for run_id, until in self._backing_off.items() if until > now_s}
        due = await self._repository.due(list(self._backing_off))
        for run_id in due:
            try:
                await self.rewrite(run_id)
            except TransientError:
                raise
            except Exception:
                log.exception("listing_failed", listed_run_id=run_id)
                self._backing_off[run_id] = now_s + REST_S
        return len(due)

    async def _assemble(self, completed: RunCompleted, superseded_by: str | None, target: Path) -> None:
        with target.open("wb") as file:
            async for piece in listing(completed, self._repository.files(completed.run_id), superseded_by):
                file.write(piece)
