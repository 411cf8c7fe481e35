"""The exports of a run combined into few files: read from staging, written to the lake, listed beside them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.converter.formats.combined import CleanFile, CombinedFile, write_files
from services.converter.formats.registry import FORMATS
from shared.datasets.chain import ColumnsChain
from shared.datasets.model import Dataset
from shared.datasets.versions import FILE, columns_at
from shared.events.decode import decode_event
from shared.events.models import BatchManifest
from shared.events.names import Format
from shared.parquet.reader import clean_artifact, open_clean
from shared.stages.results import Batches
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore

HASH_CHARS = 16
MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Combiner:
    """Combines the batches of one dataset of a run that is over.

    Idempotent: the same batches give the same files under the same names. Memory is a row group; on disk are the
    dataset's batches and one file.
    """

    staging: ObjectStore
    lake: ObjectStore
    run_id: str
    dataset: Dataset
    """As its file was; what is written has the columns that its batches have together."""

    async def combine(self, formats: Sequence[Format]) -> list[dict[str, Any]]:
        """Writes the files of each format and then their manifest, which is returned; older files go.

        Raises `TransientError` in an outage, and `PermanentError` where a batch is gone or a format cannot hold a value.
        """
        with scratch_folder() as folder:
            processed = await self._processed()
            batches = [batch async for batch in self._fetch(processed, folder)]
            dataset = await self._columns_of(processed)
            return [await self._write(name, dataset, batches, folder) for name in formats]

    async def _fetch(self, processed: Sequence[BatchManifest], folder: Path) -> AsyncIterator[CleanFile]:
        results = Batches(self.staging, "converter")
        for manifest in processed:
            artifact = clean_artifact(manifest)
            path = folder / f"{manifest.batch_id}.parquet"
            await results.artifacts.fetch(manifest, artifact, path)
            open_clean(path, await self._columns_of([manifest]), artifact).close()
            yield CleanFile(path, artifact.rows)

    async def _columns_of(self, processed: Sequence[BatchManifest]) -> Dataset:
        version = max((manifest.columns_version for manifest in processed), default=FILE)
        return columns_at(self.dataset, await ColumnsChain(self.staging).get(self.dataset.name, version))

    async def _processed(self) -> list[BatchManifest]:
        """The processed batches, in the order in which the source was read."""
        folder = keys.stage_prefix(self.run_id, self.dataset.name, "processor")
        stored = [info.key async for info in self.staging.list(folder) if info.key.endswith(".json")]
        values = [value for key in stored if (value := await self.staging.get(key)) is not None]
        found = [decode_event(BatchManifest, value) for value in values]
        return sorted((one for one in found if one.status == "done"), key=lambda one: one.sequence)

    async def _write(
        self, name: Format, dataset: Dataset, batches: list[CleanFile], folder: Path
    ) -> dict[str, Any]:
        written = write_files(FORMATS[name], dataset, batches, folder)
        extension = FORMATS[name].extension(self.dataset.exports)
        files: list[dict[str, Any]] = []
        while (file := await asyncio.to_thread(_next, written)) is not None:
            files.append(await self._put(name, extension, len(files), file))
        document = {
            "run_id": self.run_id,
            "dataset": self.dataset.name,
            "format": name,
            "batches": len(batches),
            "rows": sum(file["rows"] for file in files),
            "bytes": sum(file["bytes"] for file in files),
            "files": files,
        }
        manifest = self._key(name, MANIFEST, "json")
        await self.lake.put(manifest, json.dumps(document, indent=2).encode())
        await self._remove_others(manifest, {file["name"] for file in files})
        return document | {"manifest": self.lake.uri(manifest)}

    async def _put(self, name: Format, extension: str, number: int, file: CombinedFile) -> dict[str, Any]:
        sha256, size = await asyncio.to_thread(hash_file, file.path)
        key = self._key(name, f"{self.dataset.name}-{number + 1:04d}-{sha256[:HASH_CHARS]}", extension)
        await self.lake.put(key, file.path)
        return {"name": key.rpartition("/")[2], "rows": file.rows, "bytes": size, "sha256": sha256}

    async def _remove_others(self, manifest: str, names: set[str]) -> None:
        """Files of an earlier time, when the run had fewer batches or the options were others."""
        folder = manifest.rpartition("/")[0]
        found = [info.key async for info in self.lake.list(f"{folder}/")]
        for key in found:
            if key != manifest and key.rpartition("/")[2] not in names:
                await self.lake.delete(key)

    def _key(self, name: Format, file: str, extension: str) -> str:
        return keys.combined_key(self.run_id, self.dataset.name, name, file, extension)


def _next(written: Iterator[CombinedFile]) -> CombinedFile | None:
    return next(written, None)
