"""Commits a processed batch, wherever the work on it is done."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from services.processor.engine import Cleaned
from services.processor.work import Work, inputs_of, work_on
from shared.datasets.frozen import RunDatasets
from shared.errors import PermanentError
from shared.events.models import MAX_TEXT_CHARS, Artifact, BatchManifest
from shared.observability.logging import get_logger
from shared.observability.metrics import (
    COLUMNS_VERSIONS,
    FIELDS_IGNORED,
    ROWS_REJECTED,
    STAGE_ROWS,
)
from shared.reasons import Reason
from shared.runtime.busy import cpu_ms
from shared.stages.counting import count_batch
from shared.stages.results import Batches
from shared.transforms.apply import Transformer
from shared.version import CODE_VERSION

OUTCOMES = {"read", "accepted", "rejected", "deduplicated", "filtered", "added"}

log = get_logger()


class ProcessorService:
    """Makes typed, deduplicated Parquet of crawled batches and puts what is refused into quarantine."""

    def __init__(self, batches: Batches, datasets: RunDatasets, work: Work | None = None) -> None:
        """Without `work` this process does it itself."""
        self._batches = batches
        self._datasets = datasets
        self._work = work or partial(work_on, batches.artifacts, Transformer())

    async def process(self, crawled: BatchManifest) -> BatchManifest:
        """The batch's result, by this call or by an earlier one. Idempotent.

        Raises `BatchDeadError` if it is dead, `TransientError` in an outage, `PermanentError` for what can never
        be processed: an unknown dataset, a manifest that is not the crawler's, an artifact that is gone or not as in
        its manifest.
        """
        _check_origin(crawled)
        inputs_of(crawled)
        before = await self._batches.committed(crawled.run_id, crawled.dataset, crawled.batch_id)
        if before is not None:
            return before
        await self._batches.refuse_cancelled(crawled.run_id)
        dataset = await self._datasets.get(crawled.run_id, crawled.dataset)
        processed = await self._work(crawled, dataset)
        result = _manifest(crawled, processed.artifacts, processed.cleaned)
        winner = await self._batches.commit(result)
        if winner is result:
            _report(result, crawled.artifacts, processed.cleaned)
        return winner


def _check_origin(crawled: BatchManifest) -> None:
    if crawled.stage != "crawler" or crawled.status != "done":
        raise PermanentError(
            Reason.SCHEMA, f"a crawled batch is expected, not {crawled.stage}/{crawled.status}"
        )


def _manifest(crawled: BatchManifest, artifacts: tuple[Artifact, ...], cleaned: Cleaned) -> BatchManifest:
    return crawled.child(
        "processor",
        artifacts=artifacts,
        counts=cleaned.counts,
        repeated=cleaned.repeated,
        rejected_by_reason=cleaned.rejected_by_reason,
        absent=cleaned.absent,
        unnamed=cleaned.unnamed,
        columns_version=cleaned.columns_version,
        detail="\n".join(cleaned.remarks)[:MAX_TEXT_CHARS] or None,
        cpu_ms=cpu_ms(),
        produced_at=datetime.now(UTC),
        code_version=CODE_VERSION,
    )


def _report(result: BatchManifest, inputs: Sequence[Artifact], cleaned: Cleaned) -> None:
    """Once per result, by the process that committed it."""
    dataset, counts = result.dataset, cleaned.counts
    for outcome in OUTCOMES:
        STAGE_ROWS.labels("processor", dataset, outcome).inc(getattr(counts, outcome))
    for reason, rows in cleaned.rejected_by_reason.items():
        ROWS_REJECTED.labels("processor", dataset, reason).inc(rows)
    count_batch(result, inputs)
    FIELDS_IGNORED.labels(dataset).inc(cleaned.ignored)
    if cleaned.made_columns:
        COLUMNS_VERSIONS.labels(dataset).inc()
    log.info(
        "batch_processed",
        **counts.model_dump(include=OUTCOMES),
        reasons=cleaned.rejected_by_reason,
        absent=cleaned.absent,
        ignored=cleaned.ignored,
        columns_version=cleaned.columns_version,
    )
