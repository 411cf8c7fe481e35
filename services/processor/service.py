"""Commits a processed batch: fetches its files, has the engine work on them, stores what comes out."""

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from services.processor.domain.parse_schema import ParseSchema, parse_schema_of
from services.processor.engine import (
    QUARANTINE_FORMAT,
    RAW_FORMAT,
    REPLAYED_FILE,
    REQUESTS_FORMAT,
    Cleaned,
    clean_raw,
    copy_processed,
)
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError, PermanentError
from shared.events.models import Artifact, BatchManifest, Counts
from shared.observability.logging import get_logger
from shared.observability.metrics import FIELDS_IGNORED, ROWS_REJECTED, STAGE_BATCHES, STAGE_ROWS
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.transforms.apply import Transformer
from shared.version import CODE_VERSION

PARSE_SCHEMAS_CACHED = 64
OUTCOMES = {"read", "accepted", "rejected", "deduplicated", "filtered", "added"}

log = get_logger()


class ProcessorService:
    """Makes typed, deduplicated Parquet of crawled batches and puts what is refused into quarantine."""

    def __init__(
        self, batches: Batches, datasets: RunDatasets, transformer: Transformer | None = None
    ) -> None:
        self._batches = batches
        self._datasets = datasets
        self._transformer = transformer or Transformer()

    async def process(self, crawled: BatchManifest) -> BatchManifest:
        """The batch's result, by this call or by an earlier one. Idempotent. Memory is a few chunks of 8 MiB.

        Raises `BatchDeadError` if it is dead, `TransientError` in an outage, `PermanentError` for what can never
        be processed: an unknown dataset, a manifest that is not the crawler's, an artifact that is gone or not as in
        its manifest.
        """
        _check_origin(crawled)
        is_processed = any(artifact.format == "parquet" for artifact in crawled.artifacts)
        found = _replayed_artifacts(crawled) if is_processed else _artifacts(crawled)
        before = await self._batches.committed(crawled.run_id, crawled.dataset, crawled.batch_id)
        if before is not None:
            return before
        await self._batches.refuse_cancelled(crawled.run_id)
        dataset = await self._datasets.get(crawled.run_id, crawled.dataset)
        parse_schema = _parse_schema_of(dataset)
        with scratch_folder() as folder:
            if is_processed:
                cleaned = await self._copy(crawled, *found, dataset, folder)
            else:
                cleaned = await self._clean(crawled, *found, dataset, parse_schema, folder)
            artifacts = await self._put(crawled, dataset, cleaned.counts, folder)
        result = _manifest(crawled, artifacts, cleaned)
        winner = await self._batches.commit(result)
        if winner is result:
            _report(result, cleaned)
        return winner

    async def _clean(
        self,
        crawled: BatchManifest,
        raw: Artifact,
        requests: Artifact | None,
        dataset: Dataset,
        parse_schema: ParseSchema,
        folder: Path,
    ) -> Cleaned:
        await self._batches.artifacts.fetch(crawled, raw, folder / RAW_FORMAT)
        if requests is not None:
            await self._batches.artifacts.fetch(crawled, requests, folder / REQUESTS_FORMAT)
        return await asyncio.to_thread(
            clean_raw, folder, crawled, raw.rows, dataset, parse_schema, self._transformer
        )

    async def _copy(
        self,
        crawled: BatchManifest,
        clean: Artifact,
        quarantine: Artifact | None,
        dataset: Dataset,
        folder: Path,
    ) -> Cleaned:
        """A batch that another run has processed: its rows and its quarantine are taken as they are."""
        await self._batches.artifacts.fetch(crawled, clean, folder / REPLAYED_FILE)
        if quarantine is not None:
            await self._batches.artifacts.fetch(crawled, quarantine, folder / QUARANTINE_FORMAT)
        await asyncio.to_thread(copy_processed, folder, crawled, clean, dataset)
        return Cleaned(
            crawled.counts,
            crawled.repeated,
            crawled.rejected_by_reason,
            crawled.absent,
            crawled.unnamed,
        )

    async def _put(
        self, crawled: BatchManifest, dataset: Dataset, counts: Counts, folder: Path
    ) -> tuple[Artifact, ...]:
        files = [("parquet", counts.accepted)]
        if counts.rejected:
            files.append((QUARANTINE_FORMAT, counts.rejected))
        return tuple(
            [
                await self._batches.artifacts.put(
                    crawled.run_id,
                    crawled.dataset,
                    folder / extension,
                    extension=extension,
                    rows=rows,
                    schema_version=dataset.schema_version,
                )
                for extension, rows in files
            ]
        )


def _check_origin(crawled: BatchManifest) -> None:
    if crawled.stage != "crawler" or crawled.status != "done":
        raise PermanentError(
            Reason.SCHEMA, f"a crawled batch is expected, not {crawled.stage}/{crawled.status}"
        )


@lru_cache(maxsize=PARSE_SCHEMAS_CACHED)
def _parse_schema_of(dataset: Dataset) -> ParseSchema:
    try:
        return parse_schema_of(dataset)
    except ConfigurationError as error:
        raise PermanentError(Reason.SCHEMA, str(error)) from error


def _artifacts(crawled: BatchManifest) -> tuple[Artifact, Artifact | None]:
    """The raw artifact and the requests log, which may be missing: then the records' URLs are unknown."""
    by_format = {artifact.format: artifact for artifact in crawled.artifacts}
    raw = by_format.get(RAW_FORMAT)
    if raw is None or len(by_format) < len(crawled.artifacts):
        raise PermanentError(Reason.SCHEMA, f"one artifact of format {RAW_FORMAT} is expected")
    if crawled.counts.read != raw.rows:
        raise PermanentError(
            Reason.SCHEMA, f"{crawled.counts.read} rows were crawled, its artifact names {raw.rows}"
        )
    if crawled.first_position + raw.rows > 2**63:
        raise PermanentError(Reason.RANGE, f"positions from {crawled.first_position} leave 64 bits")
    return raw, by_format.get(REQUESTS_FORMAT)


def _replayed_artifacts(crawled: BatchManifest) -> tuple[Artifact, Artifact | None]:
    """The clean Parquet and the quarantine that a replay copied from the other run's processor."""
    by_format = {artifact.format: artifact for artifact in crawled.artifacts}
    if len(by_format) < len(crawled.artifacts) or set(by_format) - {"parquet", QUARANTINE_FORMAT}:
        raise PermanentError(Reason.SCHEMA, "a parquet artifact is expected, and its quarantine")
    clean, quarantine, counts = by_format["parquet"], by_format.get(QUARANTINE_FORMAT), crawled.counts
    if counts.read + counts.added != (
        counts.accepted + counts.rejected + counts.deduplicated + counts.filtered
    ):
        raise PermanentError(Reason.SCHEMA, f"{counts.read} rows were read, its counts do not add up to that")
    if (clean.rows, quarantine.rows if quarantine else 0) != (counts.accepted, counts.rejected):
        raise PermanentError(Reason.SCHEMA, "its artifacts have other rows than its counts")
    return clean, quarantine


def _manifest(crawled: BatchManifest, artifacts: tuple[Artifact, ...], cleaned: Cleaned) -> BatchManifest:
    return crawled.child(
        "processor",
        artifacts=artifacts,
        counts=cleaned.counts,
        repeated=cleaned.repeated,
        rejected_by_reason=cleaned.rejected_by_reason,
        absent=cleaned.absent,
        unnamed=cleaned.unnamed,
        produced_at=datetime.now(UTC),
        code_version=CODE_VERSION,
    )


def _report(result: BatchManifest, cleaned: Cleaned) -> None:
    """Once per result, by the process that committed it."""
    dataset, counts = result.dataset, cleaned.counts
    for outcome in OUTCOMES:
        STAGE_ROWS.labels("processor", dataset, outcome).inc(getattr(counts, outcome))
    for reason, rows in cleaned.rejected_by_reason.items():
        ROWS_REJECTED.labels("processor", dataset, reason).inc(rows)
    STAGE_BATCHES.labels("processor", dataset, result.status).inc()
    FIELDS_IGNORED.labels(dataset).inc(cleaned.ignored)
    log.info(
        "batch_processed",
        **counts.model_dump(include=OUTCOMES),
        reasons=cleaned.rejected_by_reason,
        absent=cleaned.absent,
        ignored=cleaned.ignored,
    )
