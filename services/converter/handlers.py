from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.converter.service import ConverterService
from shared.bus.messages import Outgoing, Record
from shared.stages.messages import read_batch, result_event


@dataclass(frozen=True, slots=True)
class Handlers:
    service: ConverterService

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        processed = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=processed.run_id, batch_id=processed.batch_id)
        if not await self.service.is_asked(processed):
            return []
        return [result_event(await self.service.convert(processed))]
