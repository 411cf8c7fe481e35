from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.loader.service import LoaderService
from shared.batches.batches import announce, announcement_of, read_batch, read_parent, unreadable
from shared.bus.messages import Burial, Outgoing, Record
from shared.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Handlers:
    service: LoaderService

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        batch = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=batch.run_id, batch_id=batch.batch_id)
        if not await self.service.is_asked(batch):
            return []
        return [announce(await self.service.load(batch))]

    async def revive(self, record: Record) -> None:
        if (batch := read_parent(record)) is not None:
            await self.service.revive(batch)

    async def bury(self, record: Record, error: PermanentError) -> Burial:
        batch = read_parent(record)
        if batch is None:
            return unreadable(record, error, "loader")
        return announcement_of(await self.service.bury(batch, error))
