"""Gigabytes of records on a Dask cluster that is killed part by part. `GIGABYTES=5` makes them five."""

import asyncio
import os
from pathlib import Path

import pytest
import zstandard

from services.processor.cluster.errors import WorkersDiedError
from services.processor.service import ProcessorService
from services.processor.work import work_on
from shared.datasets.catalog import load_catalog
from shared.errors import TransientError
from shared.events.models import BatchManifest
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_s3
from shared.transforms.apply import Transformer
from tests.support.crawled import put_raw
from tests.support.dask_batches import cluster_of, lines_of, service_with
from tests.support.dask_cluster import DaskCluster

GIGABYTES = float(os.environ.get("GIGABYTES", "0.3"))
ROWS = 100_000
AT_ONCE = 6
RETRY_S = 1.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300 + int(600 * GIGABYTES))]


@pytest.fixture(scope="module")
def staging(s3_environment: dict[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    return open_s3(settings, settings.staging_bucket)


async def crawled_batches(staging: ObjectStore) -> list[BatchManifest]:
    raw = b"".join(line[:-1] + b', "filling": "' + b"x" * 300 + b'"}\n' for line in lines_of(ROWS))
    number = max(4, round(GIGABYTES * 1e9 / len(raw)))
    packed = zstandard.compress(raw)
    return [
        await put_raw(
            staging,
            "posts",
            packed,
            rows=ROWS,
            run_id="run-volume",
            sequence=place,
            first_position=place * ROWS,
        )
        for place in range(number)
    ]


async def until_done(service: ProcessorService, crawled: BatchManifest) -> BatchManifest:
    """Tries again as a consumer does."""
    while True:
        try:
            return await service.process(crawled)
        except (TransientError, WorkersDiedError):
            await asyncio.sleep(RETRY_S)


async def test_every_batch_of_many_has_the_bytes_of_the_processor_itself(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    batches = await crawled_batches(staging)
    results: dict[str, BatchManifest] = {}
    room = asyncio.Semaphore(AT_ONCE)
    with DaskCluster(tmp_path, s3_environment) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            service = service_with(staging, cluster.work)

            async def one(crawled: BatchManifest) -> None:
                async with room:
                    results[crawled.batch_id] = await until_done(service, crawled)

            working = asyncio.gather(*(one(crawled) for crawled in batches))
            for share, break_it in (
                (0.2, kill_a_worker),
                (0.5, restart_the_scheduler),
                (0.75, kill_a_worker),
            ):
                while len(results) < share * len(batches) and not working.done():
                    await asyncio.sleep(0.05)
                await break_it(dask)
            await working
    await assert_all_equal(staging, batches, results)


async def kill_a_worker(dask: DaskCluster) -> None:
    dask.workers[0].kill()
    dask.workers[0].start()
    await dask.ready(0)


async def restart_the_scheduler(dask: DaskCluster) -> None:
    dask.scheduler.kill()
    dask.start_scheduler()
    for worker in dask.workers:
        await worker.ended()
        worker.start()
    await dask.ready()


async def assert_all_equal(
    staging: ObjectStore, batches: list[BatchManifest], results: dict[str, BatchManifest]
) -> None:
    artifacts, posts = Batches(staging, "processor").artifacts, load_catalog(environment={})["posts"]
    assert len(results) == len(batches)
    for crawled in batches:
        result = results[crawled.batch_id]
        alone = await work_on(artifacts, Transformer(), crawled, posts)
        assert (result.artifacts, result.counts) == (alone.artifacts, alone.cleaned.counts)
        counts = result.counts
        assert counts.read == counts.accepted + counts.rejected + counts.deduplicated == ROWS
