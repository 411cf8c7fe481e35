"""Files that a stage writes for the next: named by their hash, checked when fetched."""

import asyncio
from pathlib import Path

from shared import crashpoints
from shared.datasets.chain import ColumnsChain
from shared.events.models import Artifact, BatchManifest
from shared.events.topology import Stage
from shared.observability import tracing
from shared.stages.scratch import hash_file
from shared.storage import keys
from shared.storage.object_store import ObjectStore


class Artifacts:
    """The files of a stage's batches in staging. Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore, stage: Stage) -> None:
        self._staging = staging
        self._stage: Stage = stage
        self.columns = ColumnsChain(staging)
        """The versions of columns that clean files have."""

    async def put(
        self, run_id: str, dataset: str, file: Path, *, extension: str, rows: int, schema_version: int = 1
    ) -> Artifact:
        """Durable when it returns; its name contains its hash, so two writers never overwrite each other."""
        sha256, size = await asyncio.to_thread(hash_file, file)
        key = keys.artifact_key(run_id, dataset, self._stage, sha256, extension)
        with tracing.span("put", "client", {"onpoint.bytes": size, "onpoint.rows": rows, "onpoint.key": key}):
            await self._staging.put(key, file)
        crashpoints.reach(f"{self._stage}.put")
        return Artifact(
            uri=self._staging.uri(key),
            format=extension,
            rows=rows,
            bytes=size,
            sha256=sha256,
            schema_version=schema_version,
        )

    async def fetch(self, manifest: BatchManifest, artifact: Artifact, target: Path) -> None:
        """Downloads an artifact of an earlier stage and checks length and hash.

        Raises `PermanentError`: `schema` for an object outside the batch's own run and dataset, `object_missing`,
        `checksum`.
        """
        prefix = keys.dataset_prefix(manifest.run_id, manifest.dataset)
        key = self._staging.key(artifact.uri, prefix)
        with tracing.span("get", "client", {"onpoint.bytes": artifact.bytes, "onpoint.key": key}):
            await self._staging.download(key, target, size=artifact.bytes, sha256=artifact.sha256)
