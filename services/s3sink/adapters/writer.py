"""From an assignment to an object that is durable."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from services.s3sink.adapters.claim import Claim
from services.s3sink.errors import BatchUnusableError, ClaimLostError
from shared import crashpoints
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import Artifact, BatchManifest
from shared.observability.logging import get_logger
from shared.parquet.lake_file import READ_ROWS, open_lake_file
from shared.parquet.reader import open_clean, read_clean
from shared.parquet.writer import RowGroupWriter
from shared.stages.results import Batches
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage.keys import lake_key
from shared.storage.object_store import ObjectStore

log = get_logger()


class ObjectWriter:
    def __init__(self, batches: Batches, lake: ObjectStore, datasets: RunDatasets) -> None:
        self._batches = batches
        self._lake = lake
        self._datasets = datasets

    async def write(self, claim: Claim, batches: Sequence[BatchManifest]) -> bool:
        """Puts the object and commits that it is written. The same batches give the same bytes under the same key.

        False: the object went another way meanwhile, or another process has claimed it. Raises
        `BatchUnusableError` for the batch whose artifact is gone or not as in its manifest, `TransientError` in an
        outage or where the disk is full.
        """
        key = lake_key(claim.dataset, claim.requested_at, claim.name)
        try:
            async with claim.renewed():
                rows, sha256, size = await self._put(claim, batches, key)
        except ClaimLostError:
            log.warning("claim_lost")
            return False
        return await claim.written(uri=self._lake.uri(key), rows=rows, size=size, sha256=sha256)

    async def _put(self, claim: Claim, batches: Sequence[BatchManifest], key: str) -> tuple[int, str, int]:
        """Rows, hash and bytes of the object."""
        with scratch_folder() as folder:
            file = folder / "object.parquet"
            try:
                rows = await self._encode(claim, folder, file, batches)
            except OSError as error:
                if error.errno is None:
                    raise  # an error of Arrow about the data
                raise TransientError(f"the scratch folder: {error}"[:500]) from error
            sha256, size = await asyncio.to_thread(hash_file, file)
            _raise_if_lost(claim)
            await self._lake.put(key, file)
            crashpoints.reach("s3sink.put")
        return rows, sha256, size

    async def _encode(self, claim: Claim, folder: Path, file: Path, batches: Sequence[BatchManifest]) -> int:
        lake = open_lake_file(file, await self._dataset(batches[0]))
        try:
            for batch in batches:
                _raise_if_lost(claim)
                await self._append(lake, folder / "clean.parquet", batch)
            return await asyncio.to_thread(lake.finish)
        finally:
            lake.abandon()

    async def _append(self, lake: RowGroupWriter, clean: Path, batch: BatchManifest) -> None:
        [artifact] = batch.artifacts
        dataset = await self._dataset(batch)
        try:
            await self._batches.artifacts.fetch(batch, artifact, clean)
            with open_clean(clean, dataset, artifact) as parquet:
                await asyncio.to_thread(_copy, parquet, artifact, lake)
        except PermanentError as error:
            raise BatchUnusableError(batch, error) from error

    async def _dataset(self, batch: BatchManifest) -> Dataset:
        try:
            return await self._datasets.get(batch.run_id, batch.dataset)
        except PermanentError as error:
            raise BatchUnusableError(batch, error) from error


def _raise_if_lost(claim: Claim) -> None:
    """Between two steps: a step that runs in a thread cannot be broken off."""
    if claim.is_lost:
        raise ClaimLostError(claim.name)


def _copy(clean: pq.ParquetFile, artifact: Artifact, lake: RowGroupWriter) -> None:
    for piece in read_clean(clean, artifact, READ_ROWS):
        lake.append(piece)
