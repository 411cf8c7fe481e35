"""Crawled batches as the crawler leaves them: raw lines and a requests log in staging, and their manifest."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard

from shared.datasets.model import Dataset
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, Counts
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.object_store import ObjectStore

REQUESTED_AT = datetime(2026, 11, 23, 4, 5, 6, 789, tzinfo=UTC)
LATER = REQUESTED_AT + timedelta(days=1)
PRODUCED_AT = datetime(2026, 11, 23, 4, 5, 9, tzinfo=UTC)


def a_dataset(
    columns: Sequence[Mapping[str, Any]], key: Sequence[str], name: str = "things", **more: Any
) -> Dataset:
    return Dataset.model_validate(
        {
            "name": name,
            "source": {
                "name": "somewhere",
                "kind": "api",
                "base_url": "http://somewhere",
                "path": "/things",
                "pagination": {"kind": "none"},
            },
            "table": f"onpoint_{name}",
            "key": list(key),
            "columns": list(columns),
            **more,
        }
    )


async def put_crawled(
    staging: ObjectStore,
    dataset: str,
    lines: Sequence[bytes],
    *,
    requests: Sequence[Mapping[str, Any]] | None = None,
    run_id: str = "run-1",
    sequence: int = 0,
    first_position: int = 0,
    rows: int | None = None,
) -> BatchManifest:
    """`rows`: the manifest's row count, where it is to be wrong."""
    raw = b"".join(line + b"\n" for line in lines)
    return await put_raw(
        staging,
        dataset,
        zstandard.compress(raw),
        requests=requests,
        run_id=run_id,
        sequence=sequence,
        first_position=first_position,
        rows=len(lines) if rows is None else rows,
    )


async def put_raw(
    staging: ObjectStore,
    dataset: str,
    raw: bytes,
    *,
    rows: int,
    requests: Sequence[Mapping[str, Any]] | bytes | None = None,
    run_id: str = "run-1",
    sequence: int = 0,
    first_position: int = 0,
) -> BatchManifest:
    batches = Batches(staging, "crawler")
    files = [("jsonl.zst", raw, rows)]
    if requests is not None:
        log = requests if isinstance(requests, bytes) else zstandard.compress(_lines(requests))
        files.append(("requests.jsonl.zst", log, len(requests)))
    artifacts = []
    with scratch_folder() as folder:
        for extension, data, count in files:
            (folder / extension).write_bytes(data)
            artifacts.append(
                await batches.artifacts.put(
                    run_id, dataset, folder / extension, extension=extension, rows=count
                )
            )
    return BatchManifest(
        run_id=run_id,
        dataset=dataset,
        batch_id=batch_id(run_id, dataset, sequence),
        sequence=sequence,
        stage="crawler",
        requested_at=REQUESTED_AT,
        first_position=first_position,
        artifacts=tuple(artifacts),
        counts=Counts(read=rows, accepted=rows),
        produced_at=PRODUCED_AT,
        code_version="test",
    )


async def copy_batch(staging: ObjectStore, old: BatchManifest, run_id: str = "run-2") -> BatchManifest:
    """The batch under another run's id, as the crawler copies it."""
    artifacts = []
    for artifact in old.artifacts:
        key = keys.artifact_key(run_id, old.dataset, "crawler", artifact.sha256, artifact.format)
        await staging.copy(staging.key(artifact.uri, ""), key)
        artifacts.append(artifact.model_copy(update={"uri": staging.uri(key)}))
    return old.model_copy(
        update={
            "run_id": run_id,
            "batch_id": batch_id(run_id, old.dataset, old.sequence),
            "stage": "crawler",
            "requested_at": LATER,
            "artifacts": tuple(artifacts),
        }
    )


def _lines(documents: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)
