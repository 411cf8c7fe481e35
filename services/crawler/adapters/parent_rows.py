"""The rows of a parent in the same run: its raw lines in staging."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import zstandard

from services.crawler.adapters.stored_results import StoredResults
from services.crawler.domain.requests.conditions import Subject, holds
from services.crawler.domain.requests.lookup import NOT_READABLE, find_value
from services.crawler.domain.requests.units import Unit
from shared.datasets.sources.each import EachParent
from shared.events.models import BatchManifest
from shared.storage import keys
from shared.storage.object_store import ObjectStore

RAW = "jsonl.zst"


class ParentRows:
    """Methods raise `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore, results: StoredResults) -> None:
        self._staging = staging
        self._results = results

    async def units(self, run_id: str, each: EachParent, folder: Path) -> AsyncIterator[Unit]:
        """The values of every row that the conditions want, in the parent's order. A line that cannot be read has none.

        Memory: one line. Raises `ObjectMissingError` where raw lines are gone.
        """
        batches = []
        for batch_id in await self._results.batch_ids(run_id, each.parent, "crawler"):
            found = await self._results.result(run_id, each.parent, "crawler", batch_id)
            if found is not None and found.status == "done":
                batches.append(found)
        for batch in sorted(batches, key=lambda one: one.sequence):
            async for unit in self._of_batch(batch, each, folder):
                yield unit

    async def _of_batch(self, batch: BatchManifest, each: EachParent, folder: Path) -> AsyncIterator[Unit]:
        for artifact in batch.artifacts:
            if artifact.format != RAW or not artifact.rows:
                continue
            file = folder / artifact.sha256
            key = self._staging.key(artifact.uri, keys.dataset_prefix(batch.run_id, batch.dataset))
            await self._staging.download(key, file, size=artifact.bytes, sha256=artifact.sha256)
            try:
                for line in _lines(file):
                    if (unit := _unit(line, each)) is not None:
                        yield unit
            finally:
                file.unlink(missing_ok=True)


def _lines(file: Path) -> Iterator[bytes]:
    with (
        file.open("rb") as source,
        zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True) as reader,
    ):
        for line in io.BufferedReader(reader):
            yield line.rstrip(b"\n")


def _unit(line: bytes, each: EachParent) -> Unit | None:
    """None where the row is not wanted, or lacks one of the fields."""
    try:
        if not all(holds(condition, Subject(line)) for condition in each.where):
            return None
        unit = {f"parent.{name}": find_value(line, path) for name, path in each.fields.items()}
    except NOT_READABLE:
        return None
    return None if None in unit.values() else unit
