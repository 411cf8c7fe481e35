from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.crawler.service.crawler import CrawlerService
from services.crawler.service.manifests import STAGE
from services.crawler.service.run_marks import RunMarks
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids
from shared.events.decode import decode_event, parse_object
from shared.events.models import CrawlBatchRequested, PlanWork, RunCompleted
from shared.observability import tracing
from shared.stages.failures import undecodable_record
from shared.stages.messages import check_identity


@dataclass(frozen=True, slots=True)
class Handlers:
    service: CrawlerService
    marks: RunMarks

    async def on_crawl_requested(self, record: Record) -> Sequence[Outgoing]:
        document = parse_object(record.value)
        derived_id = ids.run_id_of_record(
            record.topic, record.partition, record.offset, record.timestamp_ms, record.appended_at
        )
        return await self.service.accept(document, derived_id, record.appended_at)

    async def on_batch_requested(self, record: Record) -> Sequence[Outgoing]:
        unit = _decode(record)
        structlog.contextvars.bind_contextvars(
            run_id=unit.run_id, dataset=unit.dataset, batch_id=unit.batch_id
        )
        tracing.name_batch(unit.run_id, unit.dataset, unit.batch_id, STAGE)
        if isinstance(unit.work, PlanWork):
            return await self.service.plan(unit)
        return await self.service.crawl(unit)

    async def on_run_completed(self, record: Record) -> Sequence[Outgoing]:
        await self.marks.keep(decode_event(RunCompleted, record.value))
        return ()

    async def redrive(self, record: Record) -> None:
        try:
            unit = _decode(record)
        except PermanentError:
            return  # handling it reports the error again
        await self.service.redrive(unit)

    async def mark_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        try:
            unit = _decode(record)
        except PermanentError:
            return undecodable_record(record, error, STAGE)
        return await self.service.mark_failed(unit, error)


def _decode(record: Record) -> CrawlBatchRequested:
    """Raises `PermanentError`, also where the id or the key is another unit's, whose results it would replace."""
    unit = decode_event(CrawlBatchRequested, record.value)
    own = (
        ids.plan_unit_id(unit.run_id, unit.dataset)
        if isinstance(unit.work, PlanWork)
        else ids.batch_id(unit.run_id, unit.dataset, unit.sequence)
    )
    check_identity(record, unit.batch_id, own)
    return unit
