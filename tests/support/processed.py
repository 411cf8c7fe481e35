"""Processed batches as the processor leaves them: clean Parquet in staging and its manifest."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.bus.messages import Record
from shared.datasets.arrow import clean_schema
from shared.datasets.model import Dataset
from shared.events import topics
from shared.events.decode import encode
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, Counts, Part
from shared.stages.results import Batches
from shared.stages.scratch import scratch_folder
from shared.storage.object_store import ObjectStore

REQUESTED_AT = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
PRODUCED_AT = datetime(2026, 11, 23, 4, 6, 0, 123456, tzinfo=UTC)


def a_dataset(columns: Mapping[str, str], key: Sequence[str], name: str = "things") -> Dataset:
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
            "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
        }
    )


async def put_processed(
    staging: ObjectStore,
    dataset: Dataset,
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str = "run-1",
    sequence: int = 0,
    requested_at: datetime = REQUESTED_AT,
    first_position: int = 0,
) -> BatchManifest:
    """A batch of these rows; a row may name its own `_source_position`."""
    identity = batch_id(run_id, dataset.name, sequence)
    lineage = {"_run_id": run_id, "_batch_id": identity, "_requested_at": requested_at}
    complete = [
        {**lineage, "_source_position": first_position + place, **row} for place, row in enumerate(rows)
    ]
    return await put_table(
        staging,
        dataset,
        pa.Table.from_pylist(complete, schema=clean_schema(dataset)),
        run_id=run_id,
        sequence=sequence,
        requested_at=requested_at,
        first_position=first_position,
    )


async def put_table(
    staging: ObjectStore,
    dataset: Dataset,
    table: pa.Table,
    *,
    run_id: str = "run-1",
    sequence: int = 0,
    requested_at: datetime = REQUESTED_AT,
    first_position: int = 0,
) -> BatchManifest:
    with scratch_folder() as folder:
        file = folder / "clean.parquet"
        pq.write_table(table, file, compression="snappy")
        return await put_file(
            staging,
            dataset,
            file,
            rows=table.num_rows,
            run_id=run_id,
            sequence=sequence,
            requested_at=requested_at,
            first_position=first_position,
        )


async def put_file(
    staging: ObjectStore,
    dataset: Dataset,
    file: Path,
    *,
    rows: int,
    run_id: str = "run-1",
    sequence: int = 0,
    requested_at: datetime = REQUESTED_AT,
    first_position: int = 0,
) -> BatchManifest:
    batches = Batches(staging, "processor")
    artifact = await batches.artifacts.put(run_id, dataset.name, file, extension="parquet", rows=rows)
    return BatchManifest(
        run_id=run_id,
        dataset=dataset.name,
        batch_id=batch_id(run_id, dataset.name, sequence),
        sequence=sequence,
        stage="processor",
        requested_at=requested_at,
        first_position=first_position,
        artifacts=(artifact,),
        counts=Counts(read=rows, accepted=rows),
        produced_at=PRODUCED_AT,
        code_version="test",
    )


def record_of(event: Part, key: str, topic: str = topics.BATCH_PROCESSED) -> Record:
    return Record(topic, 0, 0, 1_700_000_000_000, key.encode(), encode(event))
