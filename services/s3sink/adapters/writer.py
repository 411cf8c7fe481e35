"""From an assignment to files of the lake that are durable."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from services.s3sink.adapters.arrange import Arrangement, Part
from services.s3sink.adapters.claim import Claim
from services.s3sink.adapters.clean import Clean, arranged, fill
from services.s3sink.adapters.spool import Spool
from services.s3sink.adapters.table_commits import TableCommits
from services.s3sink.domain import LakeFile
from services.s3sink.errors import BatchUnusableError, ClaimLostError
from shared import crashpoints
from shared.datasets.arrow import lake_schema
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest
from shared.observability import tracing
from shared.observability.logging import get_logger
from shared.parquet.lake_file import READ_ROWS, open_lake_file
from shared.stages.results import Batches
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage.keys import lake_key, partitioned_lake_key
from shared.storage.lake_folders import lake_folder
from shared.storage.object_store import ObjectStore

log = get_logger()


class ObjectWriter:
    def __init__(
        self, batches: Batches, lake: ObjectStore, datasets: RunDatasets, tables: TableCommits
    ) -> None:
        self._batches = batches
        self._lake = lake
        self._datasets = datasets
        self._tables = tables

    async def write(self, claim: Claim, batches: Sequence[BatchManifest]) -> bool:
        """Puts the files and commits that they are written. The same batches give the same bytes under the same keys.

        False: the object went another way meanwhile, or another process has claimed it. Raises
        `BatchUnusableError` for the batch whose artifact is gone or not as in its manifest, `TooManyFilesError`,
        `TableRefusedError`, `TransientError` in an outage or where the disk is full.
        """
        await self._tables.prepare(claim, await self._dataset(batches))
        try:
            async with claim.renewed():
                ids = [batch.batch_id for batch in batches]
                with (
                    tracing.batches_span("write object", ids, {"onpoint.run_id": claim.run_id}),
                    scratch_folder() as folder,
                    _translated(),
                ):
                    files = await self.files(claim, folder, batches)
        except ClaimLostError:
            log.warning("claim_lost")
            return False
        return await claim.written(files)

    async def commit(self, claim: Claim, batches: Sequence[BatchManifest]) -> None:
        """The object that is written is in its dataset's table, where that has one. Raises as `TableCommits.commit`."""
        if claim.lake is not None:
            await self._tables.commit(claim, await self._dataset(batches), claim.lake)

    async def files(
        self, claim: Claim, folder: Path, batches: Sequence[BatchManifest]
    ) -> tuple[LakeFile, ...]:
        """The files of an object, durable. `folder` is scratch: it is emptied by its owner. Raises as `write`."""
        dataset = await self._dataset(batches)
        clean = [await self._fetch(claim, folder, batch) for batch in batches]
        arrangement = await asyncio.to_thread(arranged, clean, dataset)
        with Spool(folder / "rows.arrow", lake_schema(dataset)) as spool:
            if arrangement.rows is not None:
                await asyncio.to_thread(fill, spool, clean)
            job = _Job(claim, dataset, clean, arrangement, spool, folder / "object.parquet")
            return tuple([await self._put(job, part) for part in arrangement.parts])

    async def _put(self, job: "_Job", part: Part) -> LakeFile:
        claim = job.claim
        rows = await asyncio.to_thread(job.encode, part)
        sha256, size = await asyncio.to_thread(hash_file, job.file)
        _raise_if_lost(claim)
        key = job.key_of(part)
        with tracing.span("put", "client", {"onpoint.bytes": size, "onpoint.rows": rows, "onpoint.key": key}):
            await self._lake.put(key, job.file, {**job.about(part), "rows": str(rows), "sha256": sha256})
        crashpoints.reach("s3sink.put")
        of = frozenset(job.clean[place].batch.batch_id for place in part.batches)
        return LakeFile(self._lake.uri(key), rows, size, sha256, of)

    async def _fetch(self, claim: Claim, folder: Path, batch: BatchManifest) -> Clean:
        [artifact] = batch.artifacts
        path = folder / f"{batch.batch_id}.parquet"
        _raise_if_lost(claim)
        try:
            await self._batches.artifacts.fetch(batch, artifact, path)
        except PermanentError as error:
            raise BatchUnusableError(batch, error) from error
        return Clean(batch, artifact, await self._dataset([batch]), path)

    async def _dataset(self, batches: Sequence[BatchManifest]) -> Dataset:
        try:
            return await self._datasets.of_batches(batches)
        except PermanentError as error:
            raise BatchUnusableError(max(batches, key=lambda one: one.columns_version), error) from error


@dataclass(frozen=True, slots=True)
class _Job:
    """The files of one object, one after the other at the same place on this machine."""

    claim: Claim
    dataset: Dataset
    clean: Sequence[Clean]
    arrangement: Arrangement
    spool: Spool
    file: Path

    def encode(self, part: Part) -> int:
        """Blocks. Returns the rows of the file."""
        lake = open_lake_file(self.file, self.dataset, self.about(part))
        try:
            for piece in self._pieces(part):
                _raise_if_lost(self.claim)
                lake.append(piece)
            return lake.finish()
        finally:
            lake.abandon()

    def about(self, part: Part) -> dict[str, str]:
        """What the file and its object tell of themselves."""
        return {
            "run-id": self.claim.run_id,
            "dataset": self.claim.dataset,
            "batches": str(len(part.batches)),
            "schema-version": str(self.dataset.schema_version),
        }

    def key_of(self, part: Part) -> str:
        claim, lake = self.claim, self.dataset.lake
        if lake.is_by_hour_of_run:
            return lake_key(claim.dataset, claim.requested_at, claim.name)
        folder = lake_folder(lake.partitions, claim.requested_at, part.values)
        return partitioned_lake_key(claim.dataset, claim.requested_at, claim.name, folder)

    def _pieces(self, part: Part) -> Iterator[pa.RecordBatch | pa.Table]:
        if self.arrangement.rows is None:
            for each in self.clean:
                yield from each.read()
            return
        numbers = self.arrangement.rows.slice(part.start, part.stop - part.start).combine_chunks()
        at_once = self.spool.rows_at_once(READ_ROWS)
        for start in range(0, len(numbers), at_once):
            yield self.spool.take(numbers.slice(start, at_once))


@contextmanager
def _translated() -> Iterator[None]:
    """An error that the system gave is the disk's; one of Arrow about the data has no number."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise TransientError(f"the scratch folder: {error}"[:500]) from error


def _raise_if_lost(claim: Claim) -> None:
    """Between two steps: a step that runs in a thread cannot be broken off."""
    if claim.is_lost:
        raise ClaimLostError(claim.name)
