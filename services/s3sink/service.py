"""What the sink does with the events it reads. Objects are written later, by `workers/object_writer.py`."""

from collections.abc import Callable

from services.s3sink.adapters.repository import BatchState, SinkRepository
from services.s3sink.domain import stored
from shared.bus.messages import Record
from shared.datasets.frozen import RunDatasets
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest, RunSealed
from shared.observability.logging import get_logger
from shared.observability.metrics import STAGE_BATCHES
from shared.parquet.reader import clean_artifact
from shared.stages.counting import count_batch
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.results import Batches
from shared.version import CODE_VERSION

log = get_logger()


class SinkService:
    """Every method raises `TransientError` in an outage."""

    def __init__(
        self, batches: Batches, repository: SinkRepository, datasets: RunDatasets, wake: Callable[[], None]
    ) -> None:
        self._batches = batches
        self._repository = repository
        self._datasets = datasets
        self._wake = wake
        """Called when there is an object to write."""

    async def is_asked(self, batch: BatchManifest) -> bool:
        """Whether the batch's run has this stage; a replay from another stage has not."""
        return await self._batches.is_asked(batch.run_id)

    async def accept(self, batch: BatchManifest, record: Record) -> BatchManifest | None:
        """Accepts the batch of `record` for an object. Idempotent.

        Returns the result where there is one by now: the batch has no rows, or came before.

        Raises `BatchDeadError` if it is dead, `PermanentError` for what can never be stored.
        """
        clean = clean_artifact(batch)
        await self._datasets.get(batch.run_id, batch.dataset)
        await self._batches.refuse_cancelled(batch.run_id)
        if not await self._repository.add_batch(batch, clean, record):
            return _result(await self._state_of(batch))
        log.info("batch_accepted", rows=clean.rows, bytes=clean.bytes)
        if clean.rows == 0:
            STAGE_BATCHES.labels("s3sink", batch.dataset, "done").inc()
        # A batch without rows, too, may be the one that a sealed run waited for.
        await self.assign_due(batch.run_id, batch.dataset)
        return _result(await self._state_of(batch)) if clean.rows == 0 else None

    async def seal(self, run: RunSealed) -> None:
        """Stores the number of batches of a run, and assigns those that waited for it. Idempotent."""
        await self._repository.seal(run)
        for dataset in run.batches:
            await self.assign_due(run.run_id, dataset)

    async def assign_due(self, run_id: str | None = None, dataset: str | None = None) -> None:
        """Assigns batches to objects wherever that is due: everywhere, or in the given run and dataset."""
        for group in await self._repository.due(run_id, dataset):
            if count := await self._repository.assign(*group):
                log.info("objects_assigned", objects=count, run_id=group[0], dataset=group[1])
                self._wake()

    async def mark_failed(self, batch: BatchManifest, error: PermanentError) -> BatchManifest | None:
        """Commits that a batch is dead, unless it was accepted before. Returns the result to publish, if there is one."""
        dead = dead_manifest(batch, "s3sink", error)
        if await self._repository.commit_dead(dead):
            count_batch(dead)
            await self.assign_due(batch.run_id, batch.dataset)
            return dead
        state = await self._state_of(batch)
        return state.result if state.result is not None else _result(state)

    async def redrive(self, batch: BatchManifest) -> None:
        """Clears the failure of a dead batch. An accepted or stored batch is left as it is. Idempotent."""
        await self._repository.clear_failure(batch.batch_id)

    async def _state_of(self, batch: BatchManifest) -> BatchState:
        state = await self._repository.find(batch.batch_id)
        if state is None:
            raise TransientError("the batch's row was there and is gone")
        return state


def _result(state: BatchState) -> BatchManifest | None:
    if state.result is not None:
        raise BatchDeadError.of(state.result)
    if state.status == "empty" or state.published is not None:
        return stored(state.batch, state.published, code_version=CODE_VERSION)
    return None
