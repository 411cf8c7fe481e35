"""First writer wins (docs/adr/0002).

A stage puts its artifacts under names that hold their hash, then its manifest at a derived key that only the
first can create. That put is the commit. Whoever comes second reads the winner's manifest and announces that.
"""

import asyncio
import errno
import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ValidationError

from shared import crashpoints
from shared.bus.messages import Burial, Outgoing, Record
from shared.errors import PermanentError, TransientError
from shared.events import ids, topics, topology
from shared.events.decode import decode_event, encode, explain
from shared.events.models import Artifact, BatchManifest, BatchUnreadable, CrawlRequest
from shared.events.topology import Stage, stages_of
from shared.observability.metrics import STAGE_BATCHES
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore
from shared.version import CODE_VERSION

HASH_BLOCK_BYTES = 2**20
_MACHINE_EXHAUSTED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
REQUESTS_CACHED = 256
MAX_DETAIL_CHARS = 1000


_Frozen = TypeVar("_Frozen", bound=BaseModel)


class BatchDeadError(PermanentError):
    """The batch was committed dead before: its record goes the way of the dead once more."""

    @classmethod
    def of(cls, result: BatchManifest) -> Self:
        """`result` is the dead manifest that was committed."""
        return cls(*_death_of(result))


class BatchFailedError(PermanentError):
    """The batch is dead by what its data turned out to be; `result` is the dead manifest to commit."""

    def __init__(self, result: BatchManifest) -> None:
        super().__init__(*_death_of(result))
        self.result = result


def _death_of(result: BatchManifest) -> tuple[Reason, str]:
    return result.reason or Reason.HANDLER, result.detail or "the batch is dead"


class Batches:
    """A stage's view of staging. Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore, stage: Stage) -> None:
        self._staging = staging
        self.stage: Stage = stage
        self._requests: OrderedDict[str, CrawlRequest] = OrderedDict()

    async def committed(self, run_id: str, dataset: str, batch_id: str) -> BatchManifest | None:
        """What this stage has made of the batch before, or None. Raises `BatchDeadError` if it is dead."""
        found = await self._read(keys.manifest_key(run_id, dataset, self.stage, batch_id))
        if found is not None and found.status == "dead":
            raise BatchDeadError.of(found)
        return found

    async def refuse_cancelled(self, run_id: str) -> None:
        """Raises `PermanentError` (`cancelled`) if somebody cancelled the run: its batches end here."""
        if await self._staging.head(keys.cancel_key(run_id)) is not None:
            raise PermanentError(Reason.CANCELLED, "the run was cancelled")

    async def commit(self, manifest: BatchManifest) -> BatchManifest:
        """Commits unless someone was first; returns the winner's manifest, which is what may be announced."""
        key = keys.manifest_key(manifest.run_id, manifest.dataset, self.stage, manifest.batch_id)
        crashpoints.reach(f"{self.stage}.{'death' if manifest.status == 'dead' else 'manifest'}")
        if await self._staging.create(key, encode(manifest)):
            return manifest
        winner = await self._read(key)
        if winner is None:
            raise TransientError(f"{key} was there and is gone: staging is being swept")
        return winner

    async def forget_death(self, run_id: str, dataset: str, batch_id: str) -> None:
        """Takes back this stage's result if the batch is dead; a done batch stays done. Idempotent."""
        key = keys.manifest_key(run_id, dataset, self.stage, batch_id)
        found = await self._read(key)
        if found is not None and found.status == "dead":
            await self._staging.delete(key)

    async def put_artifact(
        self, run_id: str, dataset: str, file: Path, *, extension: str, rows: int, schema_version: int = 1
    ) -> Artifact:
        """Durable when it returns; its name holds its hash, so two writers never overwrite each other."""
        sha256, size = await asyncio.to_thread(hash_file, file)
        key = keys.artifact_key(run_id, dataset, self.stage, sha256, extension)
        await self._staging.put(key, file)
        crashpoints.reach(f"{self.stage}.put")
        return Artifact(
            uri=self._staging.uri(key),
            format=extension,
            rows=rows,
            bytes=size,
            sha256=sha256,
            schema_version=schema_version,
        )

    async def fetch_artifact(self, manifest: BatchManifest, artifact: Artifact, target: Path) -> None:
        """Downloads an artifact of an earlier stage and checks length and hash.

        Raises `PermanentError`: `schema` for an object outside the batch's own run and dataset, `object_missing`,
        `checksum`.
        """
        prefix = keys.dataset_prefix(manifest.run_id, manifest.dataset)
        key = self._staging.key(artifact.uri, prefix)
        await self._staging.download(key, target, size=artifact.bytes, sha256=artifact.sha256)

    async def request(self, run_id: str) -> CrawlRequest:
        """The accepted request of a run. Raises `ObjectMissingError` where there is none. Cached: it never changes."""
        if (cached := self._requests.get(run_id)) is not None:
            self._requests.move_to_end(run_id)
            return cached
        key = keys.request_key(run_id)
        found = await self._staging.get(key)
        if found is None:
            raise ObjectMissingError(self._staging.uri(key))
        request = parse_frozen(CrawlRequest, found, key)
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


async def bury_batch(batches: Batches, record: Record, error: PermanentError) -> Burial:
    """Commits the death of a record's batch in staging; what a stage without a database does with a dead record.

    If the batch was done before, that stands and is announced again.
    """
    parent = read_parent(record)
    if parent is None:
        return unreadable(record, error, batches.stage)
    dead = (
        error.result if isinstance(error, BatchFailedError) else dead_manifest(parent, batches.stage, error)
    )
    winner = await batches.commit(dead)
    if winner is dead:
        STAGE_BATCHES.labels(batches.stage, dead.dataset, "dead").inc()
    return announcement_of(winner)


async def revive_batch(batches: Batches, record: Record) -> None:
    """Takes back the death of a record's batch in staging; the counterpart of `bury_batch`."""
    if (parent := read_parent(record)) is not None:
        await batches.forget_death(parent.run_id, parent.dataset, parent.batch_id)


def read_batch(record: Record) -> BatchManifest:
    """The manifest in a record. Raises `PermanentError`, also where its id or the key is another batch's."""
    manifest = decode_event(BatchManifest, record.value)
    check_identity(
        record, manifest.batch_id, ids.batch_id(manifest.run_id, manifest.dataset, manifest.sequence)
    )
    return manifest


def check_identity(record: Record, batch_id: str, own: str) -> None:
    """Raises `PermanentError` (`schema`) unless an event names the id that is derived from what it is about, and so
    does its record's key: else its results would take another batch's place.
    """
    if batch_id != own:
        raise PermanentError(Reason.SCHEMA, "batch_id is not that of its run, dataset and sequence")
    if record.key is not None and record.key_text != batch_id:
        raise PermanentError(Reason.SCHEMA, "the record's key is not its batch_id")


def read_parent(record: Record) -> BatchManifest | None:
    """The manifest in a record that could not be handled, or None where it cannot be read or is another batch's."""
    try:
        return read_batch(record)
    except PermanentError:
        return None


def unreadable(record: Record, error: PermanentError, stage: Stage) -> Burial:
    """A record that no one can read: its key alone tells quality which batch it was."""
    try:
        failed = BatchUnreadable(
            batch_id=record.key_text or "", stage=stage, reason=error.reason, detail=in_words(error)
        )
    except ValidationError:
        return Burial(dead=True)  # no key, or not one of ours: the dead letter is all there can be
    return Burial(dead=True, announce=(Outgoing(topics.BATCH_FAILED, failed.batch_id, failed),))


def dead_manifest(parent: BatchManifest, stage: Stage, error: PermanentError) -> BatchManifest:
    """The result of a stage that could not handle its parent's batch. No row of it got further.

    The processor answers for every crawled line, the stages after it for the rows that it let through.
    """
    read = parent.counts.read if stage == "processor" else parent.counts.accepted
    return parent.child(
        stage,
        status="dead",
        reason=error.reason,
        detail=in_words(error),
        counts=parent.counts.model_copy(
            update={"read": read, "accepted": 0, "rejected": 0, "deduplicated": 0}
        ),
        produced_at=datetime.now(UTC),
        code_version=CODE_VERSION,
    )


def in_words(error: PermanentError) -> str:
    """The error's text as JSON and PostgreSQL can hold it: no lone surrogate, no NUL."""
    return str(error)[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def announcement_of(winner: BatchManifest) -> Burial:
    return Burial(dead=winner.status == "dead", announce=(announce(winner),))


def announce(result: BatchManifest) -> Outgoing:
    """The event that tells of a stage's result."""
    topic = topics.BATCH_FAILED if result.status == "dead" else topology.RESULT_OF_STAGE[result.stage]
    return Outgoing(topic, result.batch_id, result)


def parse_frozen(model: type[_Frozen], value: bytes, key: str) -> _Frozen:
    """An object of ours in staging. Raises `PermanentError` (`schema`) if somebody else wrote it."""
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        raise PermanentError(Reason.SCHEMA, f"{key}: {explain(error)}") from error


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes. Memory is one block."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one batch's files, gone afterwards whatever happens.

    Raises `TransientError` where the machine has no room or no handles left: that is no fault of the batch.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="onpoint-") as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in _MACHINE_EXHAUSTED:
            raise TransientError(f"the scratch folder: {error}"[:500]) from error
        raise
