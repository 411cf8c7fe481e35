"""The whole work on one batch but its commit: fetches its files, has the engine work on them, stores what comes out.

It needs the object store and nothing else, so it runs in any process that has it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from services.processor.adapters.columns import columns_of
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
from services.processor.settings import TransformSettings
from shared.datasets.model import Dataset
from shared.datasets.versions import columns_at
from shared.errors import ConfigurationError, PermanentError
from shared.events.models import Artifact, BatchManifest, Counts
from shared.observability import tracing
from shared.reasons import Reason
from shared.settings.masks import MaskSettings
from shared.stages.artifacts import Artifacts
from shared.stages.scratch import scratch_folder
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits

PARSE_SCHEMAS_CACHED = 64


@dataclass(frozen=True, slots=True)
class Processed:
    """What a batch became: files in staging, and what its manifest says of them."""

    artifacts: tuple[Artifact, ...]
    cleaned: Cleaned


Work = Callable[[BatchManifest, Dataset], Awaitable[Processed]]
"""All of a batch but its commit: in this process (`work_on`) or on a cluster. Idempotent."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files that a batch's work begins with."""

    main: Artifact
    """Raw lines, or the clean Parquet that a replay copied from another run's processor."""
    beside: Artifact | None
    """The requests log of raw lines (without it the records' URLs are unknown), or the quarantine of a replay."""
    is_processed: bool


def transformer_of(settings: TransformSettings, masks: MaskSettings) -> Transformer:
    limits = Limits(settings.transform_memory_mib, settings.transform_timeout_s)
    return Transformer(limits, masks.mask_key())


async def work_on(
    artifacts: Artifacts, transformer: Transformer, crawled: BatchManifest, dataset: Dataset
) -> Processed:
    """Idempotent: the same batch gives the same files under the same names. Memory is a few chunks of 1 MiB, then
    a row group.

    `dataset` is the run's file; the batch has the columns of the version that its records need.

    Raises `TransientError` in an outage, `PermanentError` for what can never be processed.
    """
    inputs = inputs_of(crawled)
    _parse_schema_of(dataset)
    with scratch_folder() as folder:
        if inputs.is_processed:
            dataset = columns_at(dataset, await artifacts.columns.get(dataset.name, crawled.columns_version))
            cleaned = await _copy(artifacts, crawled, inputs, dataset, folder)
        else:
            cleaned = await _clean(artifacts, transformer, crawled, inputs, dataset, folder)
        return Processed(await _put(artifacts, crawled, dataset, cleaned.counts, folder), cleaned)


def inputs_of(crawled: BatchManifest) -> Inputs:
    """Raises `PermanentError` for a manifest whose artifacts are not the crawler's."""
    if any(artifact.format == "parquet" for artifact in crawled.artifacts):
        return Inputs(*_replayed_artifacts(crawled), is_processed=True)
    return Inputs(*_artifacts(crawled), is_processed=False)


async def _clean(
    artifacts: Artifacts,
    transformer: Transformer,
    crawled: BatchManifest,
    inputs: Inputs,
    dataset: Dataset,
    folder: Path,
) -> Cleaned:
    await artifacts.fetch(crawled, inputs.main, folder / RAW_FORMAT)
    if inputs.beside is not None:
        await artifacts.fetch(crawled, inputs.beside, folder / REQUESTS_FORMAT)
    columns = await columns_of(artifacts.columns, folder / RAW_FORMAT, crawled, dataset)
    schema = _parse_schema_of(columns.dataset)
    with tracing.span("parse", attributes={"onpoint.rows": inputs.main.rows}):
        cleaned = await asyncio.to_thread(
            clean_raw, folder, crawled, inputs.main.rows, columns.dataset, schema, transformer
        )
    return replace(
        cleaned,
        columns_version=columns.version,
        made_columns=columns.is_own,
        remarks=columns.remarks,
    )


async def _copy(
    artifacts: Artifacts, crawled: BatchManifest, inputs: Inputs, dataset: Dataset, folder: Path
) -> Cleaned:
    """A batch that another run has processed: its rows and its quarantine are taken as they are."""
    await artifacts.fetch(crawled, inputs.main, folder / REPLAYED_FILE)
    if inputs.beside is not None:
        await artifacts.fetch(crawled, inputs.beside, folder / QUARANTINE_FORMAT)
    await asyncio.to_thread(copy_processed, folder, crawled, inputs.main, dataset)
    return Cleaned(
        crawled.counts,
        crawled.repeated,
        crawled.rejected_by_reason,
        crawled.absent,
        crawled.unnamed,
        columns_version=crawled.columns_version,
    )


async def _put(
    artifacts: Artifacts, crawled: BatchManifest, dataset: Dataset, counts: Counts, folder: Path
) -> tuple[Artifact, ...]:
    files = [("parquet", counts.accepted)]
    if counts.rejected:
        files.append((QUARANTINE_FORMAT, counts.rejected))
    return tuple(
        [
            await artifacts.put(
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
    if counts.read != counts.accepted + counts.rejected + counts.deduplicated:
        raise PermanentError(Reason.SCHEMA, f"{counts.read} rows were read, its counts do not add up to that")
    if (clean.rows, quarantine.rows if quarantine else 0) != (counts.accepted, counts.rejected):
        raise PermanentError(Reason.SCHEMA, "its artifacts have other rows than its counts")
    return clean, quarantine
