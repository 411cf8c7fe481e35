import re
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.quality.adapters.completions import DecidingRecord
from services.quality.domain.ledger import Failure, Request
from services.quality.service.combinations import Combinations
from services.quality.service.completion import CompletionService, NotDrainedError
from services.quality.service.ledger import LedgerService
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics, topology
from shared.events.decode import decode_event, decode_failure, parse_object
from shared.events.models import BatchManifest, BatchUnreadable, CrawlPlanned, ExportsCombined, RunDrained
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.reasons import Reason

_BATCH_ID = re.compile(ids.BATCH_ID_PATTERN)

LEDGER_TOPICS = (
    topics.CRAWL_PLANNED,
    *topology.STAGE_OF_RESULT,
    topics.BATCH_FAILED,
    topics.EXPORTS_COMBINED,
)

log = get_logger()


@dataclass(frozen=True, slots=True)
class Handlers:
    ledger: LedgerService
    completion: CompletionService
    combinations: Combinations

    async def on_crawl_requested(self, record: Record) -> Sequence[Outgoing]:
        """A run is known from its request on."""
        document = parse_object(record.value)
        derived_id = ids.run_id_of_record(
            record.topic, record.partition, record.offset, record.timestamp_ms, record.appended_at
        )
        await self.ledger.record_request(Request.of(document, derived_id, record.appended_at))
        return ()

    async def on_unit_requested(self, record: Record) -> Sequence[Outgoing]:
        """The crawler has accepted the run."""
        run_id = parse_object(record.value).get("run_id")
        if isinstance(run_id, str) and ids.is_run_id(run_id):
            await self.ledger.record_accepted(run_id)
        return ()

    async def leave_to_crawler(self, _record: Record, _error: PermanentError) -> FailureOutcome:
        """The crawler answers for its own topics: no second dead letter."""
        return FailureOutcome(dead=False)

    async def on_ledger_event(self, record: Record) -> Sequence[Outgoing]:
        """Publishes milestones itself and returns no events: a milestone's row is marked after it is published."""
        match record.topic:
            case topics.CRAWL_PLANNED:
                await self._on_planned(record)
            case topics.BATCH_FAILED:
                await self._on_failed(record)
            case topics.EXPORTS_COMBINED:
                await self._on_combined(record)
            case _:
                await self._on_result(record, decode_event(BatchManifest, record.value))
        return ()

    async def mark_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        """Records an undecodable result: from its manifest in staging, or else as a dead batch. No run waits for it."""
        stage, batch_id = topology.STAGE_OF_RESULT.get(record.topic), record.key_text
        if stage is not None and batch_id is not None and _BATCH_ID.fullmatch(batch_id):
            failure = Failure(batch_id, stage, unread=True, reason=error.reason, detail=str(error)[:1000])
            try:
                await self.ledger.record_failure(failure)
            except PermanentError as again:
                log.warning("undecodable_result_lost", detail=str(again))
        return FailureOutcome(dead=True)

    async def on_run_drained(self, record: Record) -> Sequence[Outgoing]:
        drained = decode_event(RunDrained, record.value)
        structlog.contextvars.bind_contextvars(run_id=drained.run_id)
        return await self.completion.complete(drained, DecidingRecord.of(record))

    async def mark_drained_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        """Ends a run that cannot be completed as failed; not for a record that came early or is foreign."""
        if isinstance(error, NotDrainedError):
            return FailureOutcome(dead=True)
        try:
            drained = decode_event(RunDrained, record.value)
        except PermanentError:
            return FailureOutcome(dead=True)
        completed = await self.completion.fail(drained, DecidingRecord.of(record), error)
        return FailureOutcome(dead=True, events=tuple(completed))

    async def _on_planned(self, record: Record) -> None:
        planned = decode_event(CrawlPlanned, record.value)
        structlog.contextvars.bind_contextvars(run_id=planned.run_id)
        await self.ledger.record_plan(planned)

    async def _on_combined(self, record: Record) -> None:
        combined = decode_event(ExportsCombined, record.value)
        structlog.contextvars.bind_contextvars(run_id=combined.run_id)
        if record.key_text not in {None, combined.run_id}:
            raise PermanentError(Reason.SCHEMA, "the record's key is not its run id")
        await self.combinations.record(combined)

    async def _on_failed(self, record: Record) -> None:
        failed = decode_failure(record.value)
        if isinstance(failed, BatchUnreadable):
            structlog.contextvars.bind_contextvars(batch_id=failed.batch_id)
            await self.ledger.record_failure(
                Failure(
                    failed.batch_id, failed.stage, unread=False, reason=failed.reason, detail=failed.detail
                )
            )
        else:
            await self._on_result(record, failed)

    async def _on_result(self, record: Record, result: BatchManifest) -> None:
        structlog.contextvars.bind_contextvars(run_id=result.run_id, batch_id=result.batch_id)
        tracing.name_batch(result.run_id, result.dataset, result.batch_id, result.stage)
        if record.topic not in {topics.BATCH_FAILED, topology.RESULT_OF_STAGE[result.stage]}:
            raise PermanentError(Reason.SCHEMA, f"a result of {result.stage} has no place on {record.topic}")
        if record.key_text not in {None, result.batch_id}:
            raise PermanentError(Reason.SCHEMA, "the record's key is not its batch id")
        await self.ledger.record_result(result)
