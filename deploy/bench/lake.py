"""Batches into objects of the lake, beside the least that does the same: read, concatenate, write, hash and upload.

Both have the same batches in a store in memory, and the same options of Parquet. Each case has a process of its own.
"""

import asyncio
import datetime as dt
import hashlib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from services.s3sink.adapters.claim import Claim
from services.s3sink.adapters.table_commits import TableCommits
from services.s3sink.adapters.writer import ObjectWriter
from shared.datasets.arrow import clean_schema
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, Counts
from shared.lake.tables.open import LakeTables
from shared.lake.tables.settings import TableSettings
from shared.parquet.lake_file import ZSTD_LEVEL
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from shared.version import CODE_VERSION

MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BATCH_ROWS = 50_000
RUN = "bench"
PRIME = 2_654_435_761
"""Times a number: an order that looks like none."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    lake: dict[str, Any]
    is_shuffled: bool
    goal: float | None = None


CASES = (
    Case("sorted by the key", {}, is_shuffled=False, goal=0.8),
    Case("as it came", {"sort_by": []}, is_shuffled=True),
    Case("any order", {}, is_shuffled=True),
    Case("100 folders", {"partition_by": ["part"]}, is_shuffled=True),
)


def measure(rows: int, repeat: int) -> list[dict[str, Any]]:
    """A line per case: CPU seconds, the least of the turns, and the highest memory of the process."""
    found = []
    for case in CASES:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            own = pool.submit(_run, case, rows, repeat).result()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            bare = pool.submit(_run_bare, case, rows, repeat).result()
        line = {
            "case": case.name,
            "rows": rows,
            **own,
            "bare_cpu_s": bare["cpu_s"],
            "bare_bytes": bare["bytes"],
        }
        found.append(line | {"ratio": round(bare["cpu_s"] / max(own["cpu_s"], 0.001), 2), "goal": case.goal})
    return found


def _run(case: Case, rows: int, repeat: int) -> dict[str, Any]:
    return asyncio.run(_measured(case, rows, repeat, _write))


def _run_bare(case: Case, rows: int, repeat: int) -> dict[str, Any]:
    return asyncio.run(_measured(case, rows, repeat, _write_bare))


async def _measured(case: Case, rows: int, repeat: int, write: Callable[..., Any]) -> dict[str, Any]:
    staging, dataset = open_memory("staging"), _dataset(case)
    batches = [await _put(staging, dataset, case, rows, first) for first in range(0, rows, BATCH_ROWS)]
    seconds = []
    for _ in range(repeat):
        lake = open_memory("lake")
        began = time.process_time()
        await write(staging, lake, dataset, batches)
        seconds.append(time.process_time() - began)
    infos = [info async for info in lake.list("")]
    return {
        "cpu_s": round(min(seconds), 3),
        "files": len(infos),
        "bytes": sum(info.bytes for info in infos),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


async def _write(
    staging: ObjectStore, lake: ObjectStore, dataset: Dataset, batches: list[BatchManifest]
) -> None:
    datasets = RunDatasets(staging, lambda: {dataset.name: dataset})
    buckets = ObjectStoreSettings(staging_bucket="staging", lake_bucket="lake")
    tables = TableCommits(LakeTables(buckets, lake, TableSettings(), "postgresql://127.0.0.1/none"))
    writer = ObjectWriter(Batches(staging, "s3sink"), lake, datasets, tables)
    claim = Claim(
        connection=cast("Any", None),
        name="0" * 32,
        run_id=RUN,
        dataset=dataset.name,
        requested_at=MOMENT,
        batch_ids=tuple(batch.batch_id for batch in batches),
        lake=None,
        claimed_at=MOMENT,
    )
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as folder:
        await writer.files(claim, Path(folder), batches)


async def _write_bare(
    staging: ObjectStore, lake: ObjectStore, dataset: Dataset, batches: list[BatchManifest]
) -> None:
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as name:
        target = Path(name) / "object.parquet"
        tables = []
        for batch in batches:
            content = await staging.get(staging.key(batch.artifacts[0].uri, ""))
            tables.append(pq.read_table(pa.BufferReader(content)))
        unique = ("_source_position", *dataset.key)
        columns: Any = [column for column in clean_schema(dataset).names if column not in unique]
        with pq.ParquetWriter(
            target,
            clean_schema(dataset),
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=columns,
            column_encoding={"_source_position": "DELTA_BINARY_PACKED"},
            write_page_index=True,
        ) as writer:
            writer.write_table(pa.concat_tables(tables), row_group_size=100_000)
        hashlib.sha256(target.read_bytes()).hexdigest()
        await lake.put("object", target)


def _dataset(case: Case) -> Dataset:
    columns = {
        "id": "int64",
        "part": "int32",
        "title": "string",
        "body": "string",
        "price": "float64",
        "at": "timestamp",
    }
    source = {
        "name": "bench",
        "kind": "api",
        "base_url": "http://bench",
        "path": "/x",
        "pagination": {"kind": "none"},
    }
    return Dataset.model_validate(
        {
            "name": "bench",
            "source": source,
            "table": "bench",
            "key": ["id"],
            "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
            "lake": case.lake,
        }
    )


async def _put(staging: ObjectStore, dataset: Dataset, case: Case, rows: int, first: int) -> BatchManifest:
    numbers = range(first, min(first + BATCH_ROWS, rows))
    identity = batch_id(RUN, dataset.name, first // BATCH_ROWS)
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as name:
        file = Path(name) / "clean.parquet"
        pq.write_table(_table(dataset, case, numbers, identity), file, compression="snappy")
        artifact = await Batches(staging, "processor").artifacts.put(
            RUN, dataset.name, file, extension="parquet", rows=len(numbers)
        )
    return BatchManifest(
        run_id=RUN,
        dataset=dataset.name,
        batch_id=identity,
        sequence=first // BATCH_ROWS,
        stage="processor",
        requested_at=MOMENT,
        artifacts=(artifact,),
        counts=Counts(read=len(numbers), accepted=len(numbers)),
        produced_at=MOMENT,
        code_version=CODE_VERSION,
    )


def _table(dataset: Dataset, case: Case, numbers: range, identity: str) -> pa.Table:
    """Records of about 500 bytes."""
    columns: Iterator[list[Any]] = iter(
        (
            [n * PRIME % 2**32 if case.is_shuffled else n for n in numbers],
            [n * PRIME % 2**32 % 100 for n in numbers],
            [f"record {n}" for n in numbers],
            [f"Text {n * PRIME % 2**32:x} of a record. " * 13 for n in numbers],
            [n * 37 % 100_000 / 100 for n in numbers],
            [MOMENT + dt.timedelta(milliseconds=n * 61) for n in numbers],
            [RUN] * len(numbers),
            [identity] * len(numbers),
            [MOMENT] * len(numbers),
            list(numbers),
        )
    )
    schema = clean_schema(dataset)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
