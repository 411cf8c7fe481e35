"""Counts results of batches in the metrics. Only the process that committed a result does."""

from collections.abc import Iterable

from shared.events.models import Artifact, BatchManifest
from shared.observability.metrics import BATCH_CPU_SECONDS, BATCH_FAILURES, STAGE_BATCHES, STAGE_BYTES
from shared.reasons import Reason


def count_batch(result: BatchManifest, inputs: Iterable[Artifact] = ()) -> None:
    """Once per result. `inputs`: the files that the stage read for it."""
    names = result.stage, result.dataset
    STAGE_BATCHES.labels(*names, result.status).inc()
    if result.status == "dead":
        BATCH_FAILURES.labels(result.stage, result.reason or Reason.HANDLER).inc()
    STAGE_BYTES.labels(*names, "read").inc(sum(each.bytes for each in inputs))
    STAGE_BYTES.labels(*names, "written").inc(sum(each.bytes for each in result.artifacts))
    BATCH_CPU_SECONDS.labels(*names).inc((result.cpu_ms or 0) / 1000)
