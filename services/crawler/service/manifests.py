"""The manifests of the crawler's batches."""

from datetime import UTC, datetime
from typing import Any, Final

from services.crawler.adapters.batch_writer import BatchWriter
from services.crawler.domain.plans import CrawlPlan, PlanFailure
from shared.errors import PermanentError
from shared.events.models import (
    Artifact,
    BatchManifest,
    Counts,
    CrawlBatchRequested,
    CrawlWork,
    CursorWork,
    IdWork,
    MissingPage,
)
from shared.observability.metrics import STAGE_ROWS
from shared.reasons import Reason
from shared.runtime.busy import cpu_ms
from shared.stages.counting import count_batch
from shared.stages.failures import MAX_DETAIL_CHARS, error_text
from shared.version import CODE_VERSION

STAGE: Final = "crawler"


def first_position(unit: CrawlBatchRequested, plan: CrawlPlan) -> int:
    return (
        unit.work.first_position if isinstance(unit.work, CursorWork) else plan.first_position(unit.sequence)
    )


def manifest_fields(unit: CrawlBatchRequested) -> dict[str, Any]:
    return {
        "run_id": unit.run_id,
        "dataset": unit.dataset,
        "batch_id": unit.batch_id,
        "sequence": unit.sequence,
        "stage": STAGE,
        "requested_at": unit.requested_at,
        "cpu_ms": cpu_ms(),
        "produced_at": datetime.now(UTC),
        "code_version": CODE_VERSION,
    }


def dead_batch(unit: CrawlBatchRequested, error: PermanentError, *, rows: int | None = None) -> BatchManifest:
    """The manifest of a batch that could not be handled. `rows` None: each of its ids is a failed row."""
    failed = _items_of(unit.work) if rows is None else rows
    return BatchManifest(
        **manifest_fields(unit),
        status="dead",
        reason=error.reason,
        detail=error_text(error),
        counts=Counts(read=failed, rejected=failed),
        rejected_by_reason={error.reason: failed} if failed else {},
    )


def _items_of(work: CrawlWork) -> int:
    """Only of ids the number is known before they are fetched."""
    return max(0, work.stop - work.start) if isinstance(work, IdWork) else 0


def dead_by_plan(unit: CrawlBatchRequested, why: PlanFailure) -> BatchManifest:
    return BatchManifest(
        **manifest_fields(unit),
        status="dead",
        reason=why.reason,
        detail=f"there is no plan: {why.detail}"[:MAX_DETAIL_CHARS],
        missing=(MissingPage(url=why.url, reason=why.detail),) if why.url else (),
    )


def dead_by_source(
    unit: CrawlBatchRequested, plan: CrawlPlan, writer: BatchWriter, requests: Artifact
) -> BatchManifest:
    failure = writer.last_failure
    return BatchManifest(
        **manifest_fields(unit),
        status="dead",
        reason=Reason.FETCH,
        detail=f"every request failed ({writer.failed}); the last: {failure.detail if failure else ''}"[
            :MAX_DETAIL_CHARS
        ],
        first_position=first_position(unit, plan),
        artifacts=(requests,),
        counts=Counts(read=writer.rows, rejected=writer.rows),
        rejected_by_reason={Reason.FETCH: writer.rows} if writer.rows else {},
        promised=writer.promised,
        missing=tuple(writer.missing),
    )


def count_result(manifest: BatchManifest) -> None:
    """Counts a result in the metrics; only the process that committed it does."""
    count_batch(manifest)
    for outcome in ("read", "accepted", "rejected"):
        STAGE_ROWS.labels(STAGE, manifest.dataset, outcome).inc(getattr(manifest.counts, outcome))
