"""The same batches by the processor itself and by a Dask cluster on this machine: what it costs, and when it pays."""

import asyncio
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import zstandard

from deploy.local.stack import LocalStack
from services.processor.cluster.cluster import Cluster
from services.processor.service import ProcessorService
from services.processor.work import Work, work_on
from shared.dask.connection import Connection
from shared.datasets.catalog import load_catalog
from shared.datasets.frozen import RunDatasets
from shared.events.ids import batch_id
from shared.events.models import BatchManifest, Counts
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_s3

ELSEWHERE = Path(__file__).parent / "elsewhere" / "sitecustomize.py"
LOCAL_AT_ONCE = 2
"""Batches in hand of a processor without a cluster, by its default."""

SMALL_BATCHES = 20
LIMIT_S = 300.0
DATASET = "posts"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    rows: int
    """Of a batch."""
    batches: int
    workers: int
    elsewhere_s: float = 0.0
    """Each batch waits that long on its worker, as if another machine worked on it; 0: this one does."""


@dataclass(frozen=True)
class Found:
    plan: Plan
    local_s: float
    """For all batches, by the processor itself; 0 where the workers are elsewhere."""
    cluster_s: float
    ideal_s: float
    """Of workers elsewhere that never wait; 0 where they are here."""
    local_small_ms: float
    """The median of batches of one row, one after another: all that is not work on rows."""
    cluster_small_ms: float

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure(plan: Plan) -> Found:
    """Starts a stack of its own, and removes it. Raises `StackError` where it does not start."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as folder:
        stack = LocalStack(
            Path(folder) / "home",
            services=(),
            dask_workers=plan.workers,
            extra_env=_environment(plan, Path(folder)),
        )
        with stack:
            try:
                return asyncio.run(_measure(plan, stack.environment(), stack.http_port("dask")))
            finally:
                stack.down(wipe=True)


def _environment(plan: Plan, folder: Path) -> Mapping[str, str]:
    if not plan.elsewhere_s:
        return {}
    shutil.copy(ELSEWHERE, folder)
    (folder / "seconds").write_text(str(plan.elsewhere_s))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


async def _measure(plan: Plan, environment: Mapping[str, str], port: int) -> Found:
    os.environ.update({name: value for name, value in environment.items() if name.startswith("AWS_")})
    settings = load_settings(ObjectStoreSettings, environment)
    staging = open_s3(settings, settings.staging_bucket)
    connection = Connection(f"tcp://127.0.0.1:{port}", None)
    local = _service(staging, partial(work_on, Batches(staging, "processor").artifacts))
    cluster = _service(staging, Cluster(connection, limit_s=LIMIT_S).work)
    try:
        await _timed(cluster, await _put(staging, "warm", 1, plan.workers), plan.workers)
        small = [await _put(staging, f"small-{name}", 1, SMALL_BATCHES) for name in ("local", "cluster")]
        local_s = 0.0
        if not plan.elsewhere_s:
            local_s = await _timed(
                local, await _put(staging, "local", plan.rows, plan.batches), LOCAL_AT_ONCE
            )
        return Found(
            plan=plan,
            local_s=local_s,
            cluster_s=await _timed(
                cluster, await _put(staging, "cluster", plan.rows, plan.batches), plan.workers
            ),
            ideal_s=plan.batches / plan.workers * plan.elsewhere_s,
            local_small_ms=await _each_ms(local, small[0]),
            cluster_small_ms=0.0 if plan.elsewhere_s else await _each_ms(cluster, small[1]),
        )
    finally:
        await connection.close()


def _service(staging: ObjectStore, work: Work) -> ProcessorService:
    catalog = load_catalog(environment={})
    return ProcessorService(Batches(staging, "processor"), RunDatasets(staging, lambda: catalog), work)


async def _timed(service: ProcessorService, batches: list[BatchManifest], at_once: int) -> float:
    """Seconds for all of them, that many at a time."""
    room = asyncio.Semaphore(at_once)

    async def one(batch: BatchManifest) -> None:
        async with room:
            await service.process(batch)

    began = time.monotonic()
    await asyncio.gather(*(one(batch) for batch in batches))
    return time.monotonic() - began


async def _each_ms(service: ProcessorService, batches: list[BatchManifest]) -> float:
    found = []
    for batch in batches:
        began = time.monotonic()
        await service.process(batch)
        found.append(1000 * (time.monotonic() - began))
    return statistics.median(found)


async def _put(staging: ObjectStore, run_id: str, rows: int, batches: int) -> list[BatchManifest]:
    """Crawled batches of generated posts of about 460 bytes, all with the same content."""
    with tempfile.TemporaryDirectory(prefix="onpoint-bench-") as folder:
        file = Path(folder) / "raw"
        lines = (
            json.dumps(
                {
                    "id": number,
                    "userId": number % 10,
                    "title": f"title {number}",
                    "body": f"{number} words " * 28,
                }
            )
            for number in range(rows)
        )
        file.write_bytes(zstandard.compress("".join(line + "\n" for line in lines).encode()))
        artifact = await Batches(staging, "crawler").artifacts.put(
            run_id, DATASET, file, extension="jsonl.zst", rows=rows
        )
    return [
        BatchManifest(
            run_id=run_id,
            dataset=DATASET,
            batch_id=batch_id(run_id, DATASET, number),
            sequence=number,
            stage="crawler",
            requested_at=NOW,
            first_position=number * rows,
            artifacts=(artifact,),
            counts=Counts(read=rows, accepted=rows),
            produced_at=NOW,
            code_version="bench",
        )
        for number in range(batches)
    ]
