from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.converter.service.combiner import Combiner, Patience
from services.converter.service.conversion import ConverterService
from shared.bus.delivery import DeferRecord
from shared.bus.messages import FailureOutcome, Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.decode import decode_event
from shared.events.models import ExportsCombined, ExportsCombineRequested
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.observability.metrics import COMBINATIONS
from shared.stages.failures import error_text
from shared.stages.messages import check_identity, read_batch, result_event

PATIENCE = Patience(step_s=60.0, file_s=500.0)
"""A rebalance of the group waits for the step in hand, and ten minutes are the most that a record may take."""

PAUSE_S = 0.1
"""Between two steps: a rebalance, or another run's record, gets its turn."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Handlers:
    service: ConverterService
    combiner: Combiner

    async def on_batch_processed(self, record: Record) -> Sequence[Outgoing]:
        processed = read_batch(record)
        structlog.contextvars.bind_contextvars(run_id=processed.run_id, batch_id=processed.batch_id)
        tracing.name_batch(processed.run_id, processed.dataset, processed.batch_id, "converter")
        if not await self.service.is_asked(processed):
            return []
        return [result_event(await self.service.convert(processed))]

    async def on_combine_requested(self, record: Record) -> Sequence[Outgoing]:
        """Raises `DeferRecord` while files are left to write."""
        asked = _read(record)
        structlog.contextvars.bind_contextvars(run_id=asked.run_id)
        combined = await self.combiner.combine(asked.run_id, asked.dataset, asked.format, PATIENCE)
        if combined is None:
            raise DeferRecord(PAUSE_S)
        log.info("exports_combined", dataset=asked.dataset, format=asked.format, files=len(combined.files))
        return [_result(combined)]

    async def mark_combination_failed(self, record: Record, error: PermanentError) -> FailureOutcome:
        """The run stays as it ended. The dead letter can be replayed, and the command combines it again."""
        try:
            asked = _read(record)
        except PermanentError:
            return FailureOutcome(dead=True)
        failed = ExportsCombined(
            run_id=asked.run_id,
            dataset=asked.dataset,
            format=asked.format,
            status="failed",
            detail=error_text(error),
            produced_at=datetime.now(UTC),
        )
        return FailureOutcome(dead=True, events=(_result(failed),))


def _read(record: Record) -> ExportsCombineRequested:
    """Raises `PermanentError`, also where the record's key is that of another combination."""
    asked = decode_event(ExportsCombineRequested, record.value)
    own = ids.combination_id(asked.run_id, asked.dataset, asked.format)
    check_identity(record, own, own)
    return asked


def _result(combined: ExportsCombined) -> Outgoing:
    COMBINATIONS.labels(combined.dataset, combined.format, combined.status).inc()
    return Outgoing(topics.EXPORTS_COMBINED, combined.run_id, combined)
