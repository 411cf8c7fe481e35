from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.s3sink.service import SinkService
from shared.batches.batches import announce, announcement_of, read_batch, read_parent, unreadable
from shared.bus.messages import Burial, Outgoing, Record
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunSealed


@dataclass(frozen=True, slots=True)
class Handlers:
    service: SinkService

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        batch = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=batch.run_id, batch_id=batch.batch_id)
        if not await self.service.is_asked(batch):
            return []
        result = await self.service.hold(batch, record)
        return [] if result is None else [announce(result)]

    async def on_run_sealed(self, record: Record) -> Sequence[Outgoing]:
        run = decode_event(RunSealed, record.value)
        structlog.contextvars.bind_contextvars(run_id=run.run_id)
        await self.service.seal(run)
        return []

    async def revive(self, record: Record) -> None:
        if (batch := read_parent(record)) is not None:
            await self.service.revive(batch)

    async def bury(self, record: Record, error: PermanentError) -> Burial:
        batch = read_parent(record)
        if batch is None:
            return unreadable(record, error, "s3sink")
        result = await self.service.bury(batch, error)
        return Burial(dead=False) if result is None else announcement_of(result)
