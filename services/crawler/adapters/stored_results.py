"""Results that other runs have in staging: what a replay copies."""

from shared.events.decode import decode_event
from shared.events.models import Artifact, BatchManifest
from shared.events.topology import Stage
from shared.storage import keys
from shared.storage.object_store import ObjectStore


class StoredResults:
    """Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging

    async def result(self, run_id: str, dataset: str, stage: Stage, batch_id: str) -> BatchManifest | None:
        """A stage's result of a batch, done or dead. Raises `PermanentError` for what is not a manifest."""
        found = await self._staging.get(keys.manifest_key(run_id, dataset, stage, batch_id))
        return None if found is None else decode_event(BatchManifest, found)

    async def batch_ids(self, run_id: str, dataset: str, stage: Stage) -> set[str]:
        """Batches of which the stage has a result. One listing of the stage's folder."""
        folder = keys.stage_prefix(run_id, dataset, stage)
        names = [info.key.rpartition("/")[2] async for info in self._staging.list(folder)]
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    async def copy(self, owner: BatchManifest, artifact: Artifact, run_id: str) -> Artifact:
        """An artifact of `owner` as one of the crawler in another run: same bytes, same hash, copied by the store.

        Raises `ObjectMissingError`, and `PermanentError` (`schema`) for an object outside the owner's own dataset.
        """
        source = self._staging.key(artifact.uri, keys.dataset_prefix(owner.run_id, owner.dataset))
        target = keys.artifact_key(run_id, owner.dataset, "crawler", artifact.sha256, artifact.format)
        await self._staging.copy(source, target)
        return artifact.model_copy(update={"uri": self._staging.uri(target)})
