from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.loader.service import LoaderService
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.observability import tracing
from shared.stages.failures import outcome_of, undecodable_record
from shared.stages.messages import read_batch, result_event, try_read_batch


@dataclass(frozen=True, slots=True)
class Handlers:
    service: LoaderService

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        batch = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=batch.run_id, batch_id=batch.batch_id)
        tracing.name_batch(batch.run_id, batch.dataset, batch.batch_id, "loader")
        if not await self.service.is_asked(batch):
            return []
        return [result_event(await self.service.load(batch))]

    async def redrive(self, record: Record) -> None:
        if (batch := try_read_batch(record)) is not None:
            await self.service.redrive(batch)

    async def mark_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        batch = try_read_batch(record)
        if batch is None:
            return undecodable_record(record, error, "loader")
        return outcome_of(await self.service.mark_failed(batch, error))
