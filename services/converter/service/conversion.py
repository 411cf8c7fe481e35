import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from polars.exceptions import PanicException

from services.converter.formats.base import ExportFormat, Layout, clean_rows
from services.converter.formats.registry import FORMATS
from shared import crashpoints
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import MAX_TEXT_CHARS, Artifact, BatchManifest, Counts
from shared.events.names import Format
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.observability.metrics import EXPORTS_FAILED, STAGE_ROWS
from shared.parquet.reader import clean_artifact, open_clean
from shared.reasons import Reason
from shared.runtime.busy import cpu_ms
from shared.stages.counting import count_batch
from shared.stages.results import Batches
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.version import CODE_VERSION

HASH_CHARS = 16
"""Of a file's SHA-256 in its name: two writers of different bytes never overwrite each other."""

log = get_logger()


class ConverterService:
    """Writes processed batches into the lake in the formats that the run asks for."""

    def __init__(self, batches: Batches, lake: ObjectStore, datasets: RunDatasets) -> None:
        self._batches = batches
        self._lake = lake
        self._datasets = datasets

    async def is_asked(self, batch: BatchManifest) -> bool:
        """Whether the batch's run has this stage; a replay from another stage has not."""
        return await self._batches.is_asked(batch.run_id)

    async def convert(self, processed: BatchManifest) -> BatchManifest:
        """The batch's result, by this call or by an earlier one. Idempotent. Memory is a row group per format.

        A format that cannot be written leaves the others: the result names it in `detail`. Raises
        `BatchDeadError` if the batch is dead, `TransientError` in an outage, `PermanentError` for what can never be
        converted: an unknown dataset or format, an artifact that is gone or not as in its manifest; and
        whatever the first format failed with if nothing could be written.
        """
        artifact = clean_artifact(processed)
        before = await self._batches.committed(processed.run_id, processed.dataset, processed.batch_id)
        if before is not None:
            return before
        await self._batches.refuse_cancelled(processed.run_id)
        dataset = await self._datasets.of_batches([processed])
        formats = await self._formats(processed, dataset)
        exports: tuple[Artifact, ...] = ()
        failed: list[str] = []
        if artifact.rows and formats:
            exports, failed = await self._export(processed, dataset, artifact, formats)
        result = _manifest(processed, artifact.rows, exports, failed)
        winner = await self._batches.commit(result)
        if winner is result:
            _report(result, [artifact], formats_failed=len(failed))
        return winner

    async def _formats(self, processed: BatchManifest, dataset: Dataset) -> tuple[Format, ...]:
        asked = (await self._batches.request(processed.run_id)).formats
        return tuple(dict.fromkeys(dataset.formats if asked is None else asked))

    async def _export(
        self, processed: BatchManifest, dataset: Dataset, artifact: Artifact, formats: tuple[Format, ...]
    ) -> tuple[tuple[Artifact, ...], list[str]]:
        """The files that were written, and a sentence about each that could not be. Raises if no file was written."""
        with scratch_folder() as folder:
            clean = folder / "clean.parquet"
            await self._batches.artifacts.fetch(processed, artifact, clean)
            results = await asyncio.gather(
                *(self._export_one(processed, dataset, artifact, clean, name) for name in formats),
                return_exceptions=True,
            )
        errors = [(name, r) for name, r in zip(formats, results, strict=True) if isinstance(r, BaseException)]
        _raise_what_stops_all([error for _, error in errors], len(formats))
        for name, error in errors:
            EXPORTS_FAILED.labels(processed.dataset, name).inc()
            log.error("format_failed", format=name, exc_info=error)
        exports = tuple(result for result in results if isinstance(result, Artifact))
        return exports, [f"{name}: {type(error).__name__}: {error}"[:500] for name, error in errors]

    async def _export_one(
        self, processed: BatchManifest, dataset: Dataset, artifact: Artifact, clean: Path, name: Format
    ) -> Artifact:
        export = FORMATS[name]
        extension = export.extension(dataset.exports)
        with scratch_folder() as folder:
            file = folder / extension
            sha256, size = await asyncio.to_thread(_write, export, clean, dataset, artifact, file)
            key = keys.export_key(
                processed.run_id,
                processed.dataset,
                name,
                f"{processed.sequence:06d}-{sha256[:HASH_CHARS]}",
                extension,
            )
            with tracing.span("put", "client", {"onpoint.bytes": size, "onpoint.key": key}):
                await self._lake.put(key, file)
        crashpoints.reach("converter.put")
        return Artifact(
            uri=self._lake.uri(key),
            format=extension,
            rows=artifact.rows,
            bytes=size,
            sha256=sha256,
            schema_version=dataset.schema_version,
        )


def _write(
    export: ExportFormat, clean: Path, dataset: Dataset, artifact: Artifact, target: Path
) -> tuple[str, int]:
    """Writes the file in this thread; its hash and size."""
    with open_clean(clean, dataset, artifact) as parquet:
        try:
            export.write(clean_rows(parquet, Layout(dataset, export)), dataset.exports, target)
        except PanicException as error:
            # It is no `Exception`, and would stop the service.
            raise RuntimeError(f"polars: {error}"[:500]) from error
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise PermanentError(Reason.SCHEMA, f"{artifact.uri} cannot be decoded: {error}"[:500]) from error
    return hash_file(target)


def _raise_what_stops_all(errors: list[BaseException], formats: int) -> None:
    """An outage and a cancellation are raised and come again; where all failed, the first error is raised."""
    for error in errors:
        if isinstance(error, TransientError) or not isinstance(error, Exception):
            raise error
    if len(errors) == formats:
        raise errors[0]


def _report(result: BatchManifest, inputs: Sequence[Artifact], *, formats_failed: int) -> None:
    """Once per result, by the process that committed it."""
    rows, files = result.counts.accepted, len(result.artifacts)
    STAGE_ROWS.labels("converter", result.dataset, "accepted").inc(rows)
    count_batch(result, inputs)
    log.info("batch_converted", rows=rows, files=files, formats_failed=formats_failed)


def _manifest(
    processed: BatchManifest, rows: int, exports: tuple[Artifact, ...], failed: list[str]
) -> BatchManifest:
    return processed.child(
        "converter",
        detail="; ".join(failed)[:MAX_TEXT_CHARS] or None,
        artifacts=exports,
        counts=Counts(read=rows, accepted=rows),
        cpu_ms=cpu_ms(),
        produced_at=datetime.now(UTC),
        code_version=CODE_VERSION,
    )
