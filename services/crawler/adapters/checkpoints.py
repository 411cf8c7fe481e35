"""What a batch has when its time is over, stored in staging: the same record is published again and continues there."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.errors import PermanentError
from shared.events.models import Artifact, BatchId, Count, CrawlBatchRequested, MissingPage
from shared.observability.logging import get_logger
from shared.stages.results import parse_stored
from shared.storage import keys
from shared.storage.object_store import ObjectStore

log = get_logger()


class Checkpoint(BaseModel):
    """The answers to the first requests of a batch, in the order of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch_id: BatchId
    raw: Artifact
    """The lines. zstd frames can be appended to."""
    requests: Artifact
    """The log of the requests; its rows are the number of requests that are answered."""
    rejected: Count
    failed: Count
    promised: Count | None
    missing: tuple[MissingPage, ...]
    unconfirmed: tuple[MissingPage, ...] = ()
    """Pages that are missing if the source goes on behind them."""
    lacking: str = ""
    """What the first page without an array had instead."""
    total_problem: str | None = None
    """Of the first total that is not a number."""
    seen: tuple[str, ...]
    """Digests of the pages."""
    mark: str | None = None
    """How far the records reach."""
    failures_in_a_row: Count
    spent_s: float
    """Since the batch was begun, pauses between its records left out."""


class Checkpoints:
    """Raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging

    async def find(self, unit: CrawlBatchRequested, raw: Path, requests: Path) -> Checkpoint | None:
        """The batch's checkpoint, its files downloaded. An undecodable one is ignored: the batch begins anew."""
        key = keys.checkpoint_key(unit.run_id, unit.dataset, unit.batch_id)
        found = await self._staging.get(key)
        if found is None:
            return None
        try:
            checkpoint = parse_stored(Checkpoint, found, key)
            await self._download(unit, checkpoint.raw, raw)
            await self._download(unit, checkpoint.requests, requests)
        except PermanentError as error:
            log.warning("checkpoint_unusable", why=str(error))
            for file in (raw, requests):
                file.unlink(missing_ok=True)
            return None
        return checkpoint

    async def put(self, unit: CrawlBatchRequested, checkpoint: Checkpoint) -> None:
        """Its artifacts must be durable. Of two workers with one batch the later stays: each has all it needs.

        The checkpoint of a committed batch is swept: no manifest names it.
        """
        key = keys.checkpoint_key(unit.run_id, unit.dataset, unit.batch_id)
        await self._staging.put(key, checkpoint.model_dump_json().encode())

    async def remove(self, unit: CrawlBatchRequested) -> None:
        """For a batch that begins anew: its failed requests are made again, and its time starts from zero."""
        await self._staging.delete(keys.checkpoint_key(unit.run_id, unit.dataset, unit.batch_id))

    async def _download(self, unit: CrawlBatchRequested, artifact: Artifact, target: Path) -> None:
        key = self._staging.key(artifact.uri, keys.dataset_prefix(unit.run_id, unit.dataset))
        await self._staging.download(key, target, size=artifact.bytes, sha256=artifact.sha256)
