from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.processor.service import ProcessorService
from shared.bus.messages import Outgoing, Record
from shared.observability import tracing
from shared.stages.messages import read_batch, result_event


@dataclass(frozen=True, slots=True)
class Handlers:
    service: ProcessorService

    async def on_batch_crawled(self, record: Record) -> Sequence[Outgoing]:
        crawled = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=crawled.run_id, batch_id=crawled.batch_id)
        tracing.name_batch(crawled.run_id, crawled.dataset, crawled.batch_id, "processor")
        return [result_event(await self.service.process(crawled))]
