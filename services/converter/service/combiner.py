"""The exports of a run combined into few files: read from staging, written to the lake, named in a manifest."""

import asyncio
import errno
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from polars.exceptions import PanicException

from services.converter.adapters.clean_batches import CleanBatches, Processed, find_processed
from services.converter.formats.base import Layout
from services.converter.formats.combined import CleanFile, Combination, CombinedFile, Place
from services.converter.formats.registry import FORMATS
from shared import crashpoints
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import ids
from shared.events.models import MAX_COMBINED_FILES, Artifact, Count, ExportsCombined, Part
from shared.events.names import Format
from shared.reasons import Reason
from shared.stages.artifacts import Artifacts
from shared.stages.results import parse_stored
from shared.stages.scratch import hash_file, scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.version import CODE_VERSION

HASH_CHARS = 16
"""Of a file's SHA-256 in its name: two writers of different bytes never overwrite each other."""

MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take. Without it a call goes on to the end."""

    step_s: float
    """After this time no further file is begun: the rest is for the next call."""
    file_s: float
    """The longest that one file may take."""


class Progress(Part):
    """The files that are written so far, and where the next one begins."""

    files: tuple[Artifact, ...] = ()
    first: Count = 0
    planned: Count | None = None


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What the files follow from."""

    dataset: Dataset
    format: Format
    batches: list[Processed]

    @property
    def digest(self) -> str:
        shas = (one.artifact.sha256 for one in self.batches)
        return ids.derive(self.format, self.dataset.exports.model_dump_json(), CODE_VERSION, *shas)


class Combiner:
    """Combines what the batches of a dataset of a run let through.

    Idempotent, by any number of writers: the same batches give the same files under the same names, and the manifest comes
    after them. Memory is that of the format; on disk are one file and some batches.
    """

    def __init__(self, staging: ObjectStore, lake: ObjectStore, datasets: RunDatasets) -> None:
        self._staging = staging
        self._lake = lake
        self._datasets = datasets
        self._artifacts = Artifacts(staging, "converter")

    async def combine(
        self, run_id: str, dataset: str, name: Format, patience: Patience | None = None
    ) -> ExportsCombined | None:
        """What was written; None: out of patience, and the next call goes on behind the last file.

        A batch that comes meanwhile is in the files too. Raises `TransientError` in an outage, `PermanentError` where a
        batch is gone, the format cannot hold a value, the disk has no room, or the files are too many or take too long.
        """
        begun_s = time.monotonic()
        inputs = await self._inputs(run_id, dataset, name)
        while True:
            files = await self._write(run_id, inputs, patience, begun_s)
            if files is None:
                return None
            combined = await self._put_manifest(run_id, inputs, files)
            crashpoints.reach("converter.combined")
            now = await self._inputs(run_id, dataset, name)
            if now.digest == inputs.digest:
                await self._staging.delete(_progress_key(run_id, inputs))
                return combined
            inputs = now

    async def _inputs(self, run_id: str, dataset: str, name: Format) -> _Inputs:
        found = await self._datasets.get(run_id, dataset)
        batches = await find_processed(self._staging, self._datasets, run_id, dataset)
        if batches:
            found = await self._datasets.of_batches([one.manifest for one in batches])
        return _Inputs(found, name, batches)

    async def _write(
        self, run_id: str, inputs: _Inputs, patience: Patience | None, begun_s: float
    ) -> tuple[Artifact, ...] | None:
        progress = await self._progress(run_id, inputs)
        with scratch_folder() as folder:
            clean = CleanBatches(self._artifacts, inputs.dataset, inputs.batches, folder)
            export = FORMATS[inputs.format]
            layout = Layout(inputs.dataset, export, await clean.schemas())
            files = [
                CleanFile(one.artifact.rows, one.artifact.bytes, partial(clean.opened, one))
                for one in inputs.batches
            ]
            combination = Combination(export, inputs.dataset.exports, layout, files)
            _refuse_many(inputs, combination.rows)
            while progress.first < combination.rows:
                if len(progress.files) == MAX_COMBINED_FILES:
                    raise _too_many(inputs)
                progress = await self._write_next(run_id, inputs, combination, progress, folder, patience)
                if progress.first < combination.rows:
                    await self._staging.put(
                        _progress_key(run_id, inputs), progress.model_dump_json().encode()
                    )
                    if patience is not None and time.monotonic() - begun_s > patience.step_s:
                        return None
        return progress.files

    async def _write_next(
        self,
        run_id: str,
        inputs: _Inputs,
        combination: Combination,
        progress: Progress,
        folder: Path,
        patience: Patience | None,
    ) -> Progress:
        extension = FORMATS[inputs.format].extension(inputs.dataset.exports)
        target = folder / f"combined.{extension}"
        place = Place(progress.first, progress.planned)
        file = await _in_thread(combination, place, target, None if patience is None else patience.file_s)
        sha256, size = await asyncio.to_thread(hash_file, target)
        number = len(progress.files) + 1
        key = keys.combined_key(
            run_id,
            inputs.dataset.name,
            inputs.format,
            f"{inputs.dataset.name}-{number:04d}-{sha256[:HASH_CHARS]}",
            extension,
        )
        await self._lake.put(key, target)
        crashpoints.reach("converter.combined_put")
        artifact = Artifact(
            uri=self._lake.uri(key), format=extension, rows=file.rows, bytes=size, sha256=sha256
        )
        return Progress(files=(*progress.files, artifact), first=file.next.first, planned=file.next.planned)

    async def _progress(self, run_id: str, inputs: _Inputs) -> Progress:
        key = _progress_key(run_id, inputs)
        found = await self._staging.get(key)
        return Progress() if found is None else parse_stored(Progress, found, key)

    async def _put_manifest(
        self, run_id: str, inputs: _Inputs, files: tuple[Artifact, ...]
    ) -> ExportsCombined:
        key = keys.combined_key(run_id, inputs.dataset.name, inputs.format, MANIFEST, "json")
        combined = ExportsCombined(
            run_id=run_id,
            dataset=inputs.dataset.name,
            format=inputs.format,
            batches=len(inputs.batches),
            manifest=self._lake.uri(key),
            files=files,
            produced_at=datetime.now(UTC),
        )
        await self._lake.put(key, json.dumps(manifest_of(combined), indent=2).encode())
        return combined


async def _in_thread(
    combination: Combination, place: Place, target: Path, most_s: float | None
) -> CombinedFile:
    """Writes a file in a thread, which ends soon after a cancellation."""
    stop, begun_s = threading.Event(), time.monotonic()

    def check() -> None:
        if stop.is_set():
            raise InterruptedError("the service stops")
        if most_s is not None and time.monotonic() - begun_s > most_s:
            raise PermanentError(
                Reason.TOO_LARGE,
                f"a file takes longer than {most_s:.0f} s: ask for smaller ones by `exports: {{max_rows: …}}`, "
                "or let `onpoint exports combine` write it",
            )

    try:
        return await asyncio.to_thread(_write_file, combination, place, target, check)
    except asyncio.CancelledError:
        stop.set()
        raise


def _write_file(
    combination: Combination, place: Place, target: Path, check: Callable[[], None]
) -> CombinedFile:
    try:
        return combination.write(place, target, check)
    except PanicException as error:
        # It is no `Exception`, and would stop the service.
        raise RuntimeError(f"polars: {error}"[:500]) from error
    except pa.ArrowInvalid as error:
        raise PermanentError(Reason.SCHEMA, f"a batch cannot be read or written: {error}"[:500]) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            # Waiting here would keep the batches of other runs waiting for room as well.
            raise PermanentError(
                Reason.TOO_LARGE, f"the scratch disk has no room for a file: {error}"[:500]
            ) from error
        raise


def _refuse_many(inputs: _Inputs, rows: int) -> None:
    most = inputs.dataset.exports.max_rows
    if most is not None and rows > most * MAX_COMBINED_FILES:
        raise _too_many(inputs)


def _too_many(inputs: _Inputs) -> PermanentError:
    return PermanentError(
        Reason.TOO_LARGE,
        f"{inputs.dataset.name} would need more than {MAX_COMBINED_FILES:,} files: raise max_rows or max_bytes of its "
        "`exports`",
    )


def _progress_key(run_id: str, inputs: _Inputs) -> str:
    return keys.combination_key(run_id, inputs.dataset.name, inputs.digest)


def manifest_of(combined: ExportsCombined) -> dict[str, Any]:
    """The document beside the files. The same files give the same one."""
    files = [
        {"name": file.uri.rpartition("/")[2], "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
        for file in combined.files
    ]
    return {
        "run_id": combined.run_id,
        "dataset": combined.dataset,
        "format": combined.format,
        "batches": combined.batches,
        "rows": sum(file.rows for file in combined.files),
        "bytes": sum(file.bytes for file in combined.files),
        "files": files,
    }
