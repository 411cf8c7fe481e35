"""The first rows of the data behind a dead record: what its manifest names in staging, checked before it is shown."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from console.client import untrusted_json
from console.client.dead_letters.preview import Preview
from shared.errors import PermanentError, TransientError
from shared.events.decode import decode_event
from shared.events.models import Artifact, BatchManifest
from shared.parquet.reader import read_clean
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.storage.object_store import ObjectStore

FORMATS = ("jsonl.zst", "parquet")
MAX_LINE_BYTES = 2**20
"""A row that is longer is shown as text, cut here."""


def read_manifest(value: bytes | None) -> BatchManifest | None:
    """The manifest in a record's value, or None where it is not a manifest or cannot be decoded."""
    try:
        return decode_event(BatchManifest, value)
    except PermanentError:
        return None


async def preview(staging: ObjectStore, manifest: BatchManifest, rows: int) -> list[Preview]:
    """Of each artifact of records. Downloads them whole: nothing is shown that is not what was written."""
    batches = Batches(staging, manifest.stage)
    return [
        await _of_artifact(batches, manifest, artifact, rows)
        for artifact in manifest.artifacts
        if artifact.format in FORMATS
    ]


async def _of_artifact(batches: Batches, manifest: BatchManifest, artifact: Artifact, rows: int) -> Preview:
    try:
        with scratch_folder() as folder:
            file = folder / "artifact"
            await batches.artifacts.fetch(manifest, artifact, file)
            read = read_parquet if artifact.format == "parquet" else read_lines
            return Preview(artifact, tuple(read(file, artifact, rows)))
    except (PermanentError, TransientError) as error:
        return Preview(artifact, problem=str(error))


def read_parquet(file: Path, artifact: Artifact, rows: int) -> list[Any]:
    """Raises `PermanentError` (`schema`) for a file that is not Parquet."""
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise PermanentError(Reason.SCHEMA, f"{artifact.uri} cannot be decoded: {error}"[:500]) from error
    with parquet:
        first = next(read_clean(parquet, artifact, rows), None)
        return [] if first is None else first.slice(0, rows).to_pylist()


def read_lines(file: Path, artifact: Artifact, rows: int) -> list[Any]:
    """Memory is one line. Raises `PermanentError` (`decode`) for what is not compressed as it should be."""
    found: list[Any] = []
    try:
        with (
            file.open("rb") as packed,
            zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream,
        ):
            text = io.BufferedReader(stream)
            while len(found) < rows and (line := text.readline(MAX_LINE_BYTES)):
                found.append(_value(line.rstrip(b"\n")))
                while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    line = text.readline(MAX_LINE_BYTES)
    except zstandard.ZstdError as error:
        raise PermanentError(Reason.DECODE, f"{artifact.uri} cannot be decoded: {error}"[:500]) from error
    return found


def _value(line: bytes) -> Any:
    try:
        return untrusted_json.parse(line)
    except ValueError:
        return line.decode("utf-8", "replace")
