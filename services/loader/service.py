import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import zstandard

from services.loader.adapters.encoder import Pieces, ascending_keys, encode_copy, null_counts
from services.loader.adapters.merging import Rows
from services.loader.adapters.repository import ColumnsBehindError, LoadRepository
from services.loader.domain import RefusedRow, quarantine_line
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import Artifact, BatchManifest
from shared.observability.logging import get_logger
from shared.observability.metrics import ROWS_REJECTED, STAGE_ROWS
from shared.parquet.reader import clean_artifact, open_clean
from shared.reasons import Reason
from shared.stages.counting import count_batch
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder

QUARANTINE_FORMAT = "quarantine.jsonl.zst"

log = get_logger()


class LoaderService:
    """Loads processed batches into their tables; a batch is in whole or not at all."""

    def __init__(self, batches: Batches, repository: LoadRepository, datasets: RunDatasets) -> None:
        self._batches = batches
        self._repository = repository
        self._datasets = datasets

    async def is_asked(self, batch: BatchManifest) -> bool:
        """Whether the batch's run has this stage; a replay from another stage has not."""
        return await self._batches.is_asked(batch.run_id)

    async def load(self, batch: BatchManifest) -> BatchManifest:
        """The batch's result, by this call or by an earlier one. Idempotent. Streams: memory is one chunk.

        Raises `BatchDeadError` if it is dead, `TransientError` in an outage and while its table or a column of it is
        yet to be made by `onpoint migrate`, `PermanentError` for what can never be loaded: a cancelled run, an unknown
        dataset, an artifact that is gone or not as in its manifest, a table that is another than the dataset's.
        Rows that PostgreSQL refuses, up to a bound, are put into quarantine.
        """
        artifact = clean_artifact(batch)
        if (before := await self._repository.find(batch.batch_id)) is not None:
            return _living(before)
        await self._batches.refuse_cancelled(batch.run_id)
        result = await self._load(batch, artifact)
        if result is None:
            return _living(await self._winner(batch))
        _report(result, artifact)
        return result

    async def mark_failed(self, batch: BatchManifest, error: PermanentError) -> BatchManifest:
        """Commits a dead result of the batch, unless it has a result; returns the committed one."""
        dead = dead_manifest(batch, "loader", error)
        if not await self._repository.commit_dead(dead):
            return await self._winner(batch)
        count_batch(dead)
        return dead

    async def redrive(self, batch: BatchManifest) -> None:
        """Clears the failure of a dead batch; a loaded one stays loaded. Idempotent."""
        await self._repository.clear_failure(batch.batch_id)

    async def _load(self, batch: BatchManifest, artifact: Artifact) -> BatchManifest | None:
        dataset = await self._datasets.of_batches([batch])
        with scratch_folder() as folder:
            file = folder / "clean.parquet"
            await self._batches.artifacts.fetch(batch, artifact, file)
            with open_clean(file, dataset, artifact) as parquet:
                before: Dataset | None = None
                while True:
                    newest = await self._datasets.newest(batch.run_id, batch.dataset)
                    try:
                        return await self._load_as(newest, batch, artifact, parquet, folder)
                    except ColumnsBehindError as behind:
                        left = await self._repository.evolve(newest, behind.columns)
                        if left and newest == before:
                            raise _other_types(newest, behind, left) from behind
                        before = newest

    async def _load_as(
        self,
        dataset: Dataset,
        batch: BatchManifest,
        artifact: Artifact,
        parquet: pq.ParquetFile,
        folder: Path,
    ) -> BatchManifest | None:
        """With the columns of the dataset, of which the file may have fewer or narrower ones."""
        pieces = Pieces(parquet, artifact, dataset)
        rows = Rows(
            artifact.rows,
            parquet.schema_arrow.names,
            await asyncio.to_thread(ascending_keys, parquet, artifact, dataset),
            lambda processed_at: encode_copy(parquet, artifact, dataset, processed_at=processed_at),
            pieces.encode,
            pieces.row,
        )
        nulls = await asyncio.to_thread(null_counts, parquet, artifact, dataset)
        return await self._repository.load(
            batch,
            dataset,
            rows if artifact.rows else None,
            nulls,
            lambda refused: self._keep(batch, refused, folder / QUARANTINE_FORMAT),
        )

    async def _keep(self, batch: BatchManifest, refused: Sequence[RefusedRow], file: Path) -> Artifact:
        lines = b"".join(map(quarantine_line, refused))
        await asyncio.to_thread(file.write_bytes, zstandard.compress(lines))
        return await self._batches.artifacts.put(
            batch.run_id, batch.dataset, file, extension=QUARANTINE_FORMAT, rows=len(refused)
        )

    async def _winner(self, batch: BatchManifest) -> BatchManifest:
        winner = await self._repository.find(batch.batch_id)
        if winner is None:
            raise TransientError("the ledger's row was there and is gone")
        return winner


def _other_types(dataset: Dataset, behind: ColumnsBehindError, left: Mapping[str, str]) -> PermanentError:
    """Of columns that were altered by hand: they are no narrower than the dataset's, and its are not wider by now."""
    told = ", ".join(
        f"{name} is {found} and has to be {behind.columns[name]}" for name, found in left.items()
    )
    return PermanentError(
        Reason.SCHEMA, f"table {dataset.table}: {told}: alter it, then replay the dead letter"
    )


def _living(result: BatchManifest) -> BatchManifest:
    if result.status == "dead":
        raise BatchDeadError.of(result)
    return result


def _report(result: BatchManifest, artifact: Artifact) -> None:
    dataset, counts = result.dataset, result.counts
    for outcome in ("loaded", "superseded", "rejected"):
        STAGE_ROWS.labels("loader", dataset, outcome).inc(getattr(counts, outcome))
    for reason, rows in result.rejected_by_reason.items():
        ROWS_REJECTED.labels("loader", dataset, reason).inc(rows)
    count_batch(result, [artifact])
    log.info(
        "batch_loaded",
        rows=counts.loaded,
        superseded=counts.superseded,
        repeated=result.repeated,
        reasons=result.rejected_by_reason,
    )
