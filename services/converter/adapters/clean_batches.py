"""The processed batches of a dataset of a run, fetched from staging while they are read."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.events.decode import decode_event
from shared.events.models import Artifact, BatchManifest
from shared.parquet.reader import clean_artifact, open_clean
from shared.stages.artifacts import Artifacts
from shared.storage import keys
from shared.storage.object_store import ObjectStore

AT_ONCE = 16
"""Manifests that are read side by side."""

KEPT_BYTES = 256 * 2**20
"""Of batches that stay on disk for a second look: Excel reads its rows twice."""


@dataclass(frozen=True, slots=True)
class Processed:
    """A processed batch."""

    manifest: BatchManifest
    artifact: Artifact
    dataset: Dataset
    """With the columns that the batch has."""


async def find_processed(
    staging: ObjectStore, datasets: RunDatasets, run_id: str, dataset: str
) -> list[Processed]:
    """The batches that are done, in the order in which the source was read."""
    folder = keys.stage_prefix(run_id, dataset, "processor")
    stored = [info.key async for info in staging.list(folder) if info.key.endswith(".json")]
    found: list[Processed] = []
    for start in range(0, len(stored), AT_ONCE):
        values = await asyncio.gather(*(staging.get(key) for key in stored[start : start + AT_ONCE]))
        manifests = [decode_event(BatchManifest, value) for value in values if value is not None]
        found += [
            Processed(one, clean_artifact(one), await datasets.of_batches([one]))
            for one in manifests
            if one.status == "done"
        ]
    return sorted(found, key=lambda one: one.manifest.sequence)


class CleanBatches:
    """Fetches from the thread that writes; the loop that it was made in does the work."""

    def __init__(
        self, artifacts: Artifacts, dataset: Dataset, batches: Sequence[Processed], folder: Path
    ) -> None:
        self._artifacts = artifacts
        self._dataset = dataset
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._kept: OrderedDict[Path, int] = OrderedDict()
        self._batches = batches

    async def schemas(self) -> list[pa.Schema]:
        """Those that the batches have, one for each version of the dataset, the latest last."""
        of_version = {one.artifact.schema_version: one for one in self._batches if one.artifact.rows}
        return [
            await asyncio.to_thread(self._schema, of_version[version])
            for version in sorted(of_version)
            if version != self._dataset.schema_version
        ]

    @contextmanager
    def opened(self, one: Processed) -> Iterator[Path]:
        """The batch on this machine.

        Raises `PermanentError` where the file is gone, altered, or not as the dataset needs it.
        """
        path = self._folder / f"{one.manifest.batch_id}.parquet"
        if path not in self._kept:
            self._make_room(one.artifact.bytes)
            fetched = self._artifacts.fetch(one.manifest, one.artifact, path)
            asyncio.run_coroutine_threadsafe(fetched, self._loop).result()
            if one.artifact.schema_version == self._dataset.schema_version:
                open_clean(path, one.dataset, one.artifact).close()
            self._kept[path] = one.artifact.bytes
        self._kept.move_to_end(path)
        yield path

    def _make_room(self, size: int) -> None:
        while self._kept and sum(self._kept.values()) + size > KEPT_BYTES:
            oldest, _ = self._kept.popitem(last=False)
            oldest.unlink()

    def _schema(self, one: Processed) -> pa.Schema:
        with self.opened(one) as path:
            return pq.read_schema(path)
