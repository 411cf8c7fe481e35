"""The processor's work on one batch beside bare polars and beside Dask on pandas: the same rows, by turns, in one process.

CPU time counts, of all threads. The processor's share has all that a batch costs but its commit: fetching and hashing the
raw artifact, typing and checking each value, keys and duplicates, lineage, the Parquet, hashing and storing it. Polars
gets the same compressed lines and Dask gets them inflated; both check nothing. A process of its own, with the services'
allocators; prints a JSON document:

    python -m deploy.bench.process 100000 5
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import polars as pl
import zstandard

from deploy.bench.alone import arguments, measure_alone
from deploy.bench.process_cases import CASES, Case
from services.processor.engine import RAW_FORMAT
from services.processor.work import work_on
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest, Counts
from shared.stages.artifacts import Artifacts
from shared.storage.object_store import open_folder
from shared.transforms.apply import Transformer
from shared.version import CODE_VERSION

ROW_GROUP_ROWS = 50_000
"""As the processor's row groups."""

OF_DASK_GOAL = 6

PARTITION_BYTES = "100MB"


def measure(rows: int, repeat: int) -> list[dict[str, Any]]:
    """As `compare`, in a process of its own."""
    found: list[dict[str, Any]] = measure_alone("deploy.bench.process", rows, repeat)
    return found


def compare(rows: int, repeat: int) -> list[dict[str, Any]]:
    """A document per case; the least CPU time of each way counts: what else the machine does only adds to it."""
    return [_compare(case, rows, repeat) for case in CASES]


def _compare(case: Case, rows: int, repeat: int) -> dict[str, Any]:
    raw = case.lines(rows)
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as name:
        folder = Path(name)
        lines = folder / "raw.jsonl"
        lines.write_bytes(raw)
        processor = _Processor(case.dataset, raw, rows, folder / "staging")
        ways: dict[str, Callable[[], object]] = {
            "processor": processor.work,
            "polars": lambda: _polars(case, processor.packed, folder / "polars.parquet"),
            "dask": lambda: _dask(lines, folder / "dask"),
        }
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(repeat + 1):  # the first opens what the others find open
            for way, act in ways.items():
                began_s = time.process_time()
                act()
                least[way] = min(least[way], time.process_time() - began_s)
    return {
        "case": case.name,
        "rows": rows,
        "row_bytes": len(raw) // rows,
        "cpu_s": {way: round(seconds, 3) for way, seconds in least.items()},
        "rows_per_cpu_s": round(rows / least["processor"]),
        "of_polars": round(least["polars"] / least["processor"], 2),
        "of_polars_goal": case.goal,
        "of_dask": round(least["dask"] / least["processor"], 1),
        "of_dask_goal": OF_DASK_GOAL,
    }


class _Processor:
    """A batch in staging, as the crawler leaves it, and the work on it."""

    def __init__(self, dataset: Dataset, raw: bytes, rows: int, staging: Path) -> None:
        self._dataset = dataset
        self._store = open_folder(staging)
        file = staging.parent / "raw.jsonl.zst"
        file.write_bytes(zstandard.compress(raw))
        self.packed = file
        artifact = asyncio.run(
            Artifacts(self._store, "crawler").put("bench", "bench", file, extension=RAW_FORMAT, rows=rows)
        )
        now = datetime.now(UTC)
        self._batch = BatchManifest(
            run_id="bench",
            dataset="bench",
            batch_id="0" * 32,
            sequence=0,
            stage="crawler",
            artifacts=(artifact,),
            requested_at=now,
            counts=Counts(read=rows),
            produced_at=now,
            code_version=CODE_VERSION,
        )

    def work(self) -> None:
        work = work_on(Artifacts(self._store, "processor"), Transformer(), self._batch, self._dataset)
        done = asyncio.run(work)
        if done.cleaned.counts.accepted != self._batch.counts.read:
            raise AssertionError(f"rows of the bench were refused: {done.cleaned.rejected_by_reason}")


def _polars(case: Case, lines: Path, target: Path) -> None:
    frame = pl.scan_ndjson(lines, schema=case.polars_schema).with_columns(*case.polars_casts).collect()
    frame.write_parquet(target, compression="snappy", row_group_size=ROW_GROUP_ROWS, statistics=True)


def _dask(lines: Path, target: Path) -> None:
    """A frame of pandas per partition, as many people begin: nulls filled, a stamp added, rows without a key left out."""
    frame = dd.read_json(str(lines), lines=True).repartition(partition_size=PARTITION_BYTES)
    done = frame.map_partitions(_tidy, meta=_tidy(frame._meta))  # noqa: SLF001 - as Dask's own examples do
    with dask.config.set(scheduler="sync"):
        done.to_parquet(str(target), compression="snappy", engine="pyarrow", write_index=False)


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.fillna("")
    frame["processed_at"] = pd.Timestamp.now(tz="UTC")
    return frame[frame["id"].notna()]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compare(*arguments())))
