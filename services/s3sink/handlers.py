from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.s3sink.service import SinkService
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunSealed
from shared.observability import tracing
from shared.stages.failures import outcome_of, undecodable_record
from shared.stages.messages import read_batch, result_event, try_read_batch


@dataclass(frozen=True, slots=True)
class Handlers:
    service: SinkService

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        batch = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=batch.run_id, batch_id=batch.batch_id)
        tracing.name_batch(batch.run_id, batch.dataset, batch.batch_id, "s3sink")
        if not await self.service.is_asked(batch):
            return []
        result = await self.service.accept(batch, record)
        return [] if result is None else [result_event(result)]

    async def on_run_sealed(self, record: Record) -> Sequence[Outgoing]:
        run = decode_event(RunSealed, record.value)
        structlog.contextvars.bind_contextvars(run_id=run.run_id)
        await self.service.seal(run)
        return []

    async def redrive(self, record: Record) -> None:
        if (batch := try_read_batch(record)) is not None:
            await self.service.redrive(batch)

    async def mark_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        batch = try_read_batch(record)
        if batch is None:
            return undecodable_record(record, error, "s3sink")
        result = await self.service.mark_failed(batch, error)
        return FailureOutcome(dead=False) if result is None else outcome_of(result)
