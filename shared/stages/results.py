"""First writer wins (docs/adr/0002).

A stage puts its artifacts under names that contain their hash, then its manifest at a derived key that only the
first can create. That put is the commit. A second writer reads the committed manifest and publishes that.
"""

from collections import OrderedDict
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared import crashpoints
from shared.bus.messages import FailureOutcome, Record
from shared.errors import PermanentError, TransientError
from shared.events.decode import decode_event, encode, explain
from shared.events.models import BatchManifest, CrawlRequest
from shared.events.topology import Stage, stages_of
from shared.observability import tracing
from shared.reasons import Reason
from shared.stages.artifacts import Artifacts
from shared.stages.counting import count_batch
from shared.stages.failures import (
    BatchDeadError,
    BatchFailedError,
    dead_manifest,
    outcome_of,
    undecodable_record,
)
from shared.stages.messages import try_read_batch
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore

REQUESTS_CACHED = 256

_Stored = TypeVar("_Stored", bound=BaseModel)


class Batches:
    """A stage's view of staging. Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore, stage: Stage) -> None:
        self._staging = staging
        self.stage: Stage = stage
        self.artifacts = Artifacts(staging, stage)
        self._requests: OrderedDict[str, CrawlRequest] = OrderedDict()

    async def committed(self, run_id: str, dataset: str, batch_id: str) -> BatchManifest | None:
        """What this stage has made of the batch before, or None. Raises `BatchDeadError` if it is dead."""
        found = await self._read(keys.manifest_key(run_id, dataset, self.stage, batch_id))
        if found is not None and found.status == "dead":
            raise BatchDeadError.of(found)
        return found

    async def refuse_cancelled(self, run_id: str) -> None:
        """Raises `PermanentError` (`cancelled`) if the run was cancelled: its batches end here."""
        if await self._staging.head(keys.cancel_key(run_id)) is not None:
            raise PermanentError(Reason.CANCELLED, "the run was cancelled")

    async def commit(self, manifest: BatchManifest) -> BatchManifest:
        """Commits unless the batch has a result; returns the committed manifest, the only one to publish."""
        key = keys.manifest_key(manifest.run_id, manifest.dataset, self.stage, manifest.batch_id)
        crashpoints.reach(f"{self.stage}.{'death' if manifest.status == 'dead' else 'manifest'}")
        with tracing.span("commit", "client", {"onpoint.status": manifest.status}):
            is_first = await self._staging.create(key, encode(manifest))
        if is_first:
            return manifest
        winner = await self._read(key)
        if winner is None:
            raise TransientError(f"{key} was there and is gone: staging is being swept")
        return winner

    async def clear_failure(self, run_id: str, dataset: str, batch_id: str) -> None:
        """Deletes this stage's result if the batch is dead; a done batch stays done. Idempotent."""
        key = keys.manifest_key(run_id, dataset, self.stage, batch_id)
        found = await self._read(key)
        if found is not None and found.status == "dead":
            await self._staging.delete(key)

    async def request(self, run_id: str) -> CrawlRequest:
        """The accepted request of a run. Raises `ObjectMissingError` where there is none. Cached: it never changes."""
        if (cached := self._requests.get(run_id)) is not None:
            self._requests.move_to_end(run_id)
            return cached
        key = keys.request_key(run_id)
        found = await self._staging.get(key)
        if found is None:
            raise ObjectMissingError(self._staging.uri(key))
        request = parse_stored(CrawlRequest, found, key)
        self._requests[run_id] = request
        if len(self._requests) > REQUESTS_CACHED:
            self._requests.popitem(last=False)
        return request

    async def is_asked(self, run_id: str) -> bool:
        """Whether this stage is part of the run; it is in every run that has no request in staging."""
        try:
            request = await self.request(run_id)
        except ObjectMissingError:
            return True
        return self.stage in stages_of(request.from_stage)

    async def _read(self, key: str) -> BatchManifest | None:
        value = await self._staging.get(key)
        return None if value is None else decode_event(BatchManifest, value)


async def mark_batch_failed(batches: Batches, record: Record, error: PermanentError) -> FailureOutcome:
    """Writes a `dead` manifest for the record's batch (stages without a database).

    If the batch already has a result, that result is published again.
    """
    parent = try_read_batch(record)
    if parent is None:
        return undecodable_record(record, error, batches.stage)
    dead = (
        error.result if isinstance(error, BatchFailedError) else dead_manifest(parent, batches.stage, error)
    )
    winner = await batches.commit(dead)
    if winner is dead:
        count_batch(dead)
    return outcome_of(winner)


async def redrive_batch(batches: Batches, record: Record) -> None:
    """Clears the failure of a record's batch in staging; the counterpart of `mark_batch_failed`."""
    if (parent := try_read_batch(record)) is not None:
        await batches.clear_failure(parent.run_id, parent.dataset, parent.batch_id)


def parse_stored(model: type[_Stored], value: bytes, key: str) -> _Stored:
    """A stored object of staging. Raises `PermanentError` (`schema`) where it is not of the model."""
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        raise PermanentError(Reason.SCHEMA, f"{key}: {explain(error)}") from error
