"""Batches on a real Dask scheduler and real workers, with the real object store."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.processor.cluster.cluster import Cluster
from services.processor.cluster.connection import Connection
from services.processor.service import ProcessorService
from shared.datasets.catalog import load_catalog
from shared.errors import PermanentError
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.crawled import put_crawled
from tests.support.dask_cluster import DaskCluster
from tests.support.datasets import datasets_of

pytestmark = pytest.mark.integration

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def staging(s3_environment: dict[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    return open_s3(settings, settings.staging_bucket)


@pytest.fixture(scope="module")
def dask(s3_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with DaskCluster(tmp_path_factory.mktemp("dask"), s3_environment) as cluster:
        yield cluster


@pytest.fixture
async def cluster(dask: DaskCluster) -> AsyncIterator[Cluster]:
    await dask.ready()
    connection = Connection(dask.address, None)
    yield Cluster(connection, limit_s=LIMIT_S)
    await connection.close()


@pytest.fixture
def service(staging: ObjectStore, cluster: Cluster) -> ProcessorService:
    return ProcessorService(
        Batches(staging, "processor"), datasets_of(load_catalog(environment={})), cluster.work
    )


def lines_of(rows: int) -> list[bytes]:
    """Good ones, duplicates, and some of every tenth that are refused."""
    return [
        json.dumps(
            {"id": n % (rows - 5), "userId": 1, "title": f"t{n}" if n % 10 else n, "body": "b" * 50}
        ).encode()
        for n in range(rows)
    ]


async def content_of(staging: ObjectStore, result: BatchManifest) -> list[tuple[str, bytes | None]]:
    return [
        (artifact.format, await staging.get(staging.key(artifact.uri, ""))) for artifact in result.artifacts
    ]


async def test_the_cluster_gives_the_same_keys_manifests_and_bytes_as_the_processor_itself(
    staging: ObjectStore, service: ProcessorService
) -> None:
    requests = [{"place": 0, "rows": 5_000, "url": "http://somewhere/posts"}]
    there = await put_crawled(staging, "posts", lines_of(5_000), requests=requests, run_id="run-equal")
    by_cluster = await service.process(there)
    files = await content_of(staging, by_cluster)
    for artifact in by_cluster.artifacts:
        await staging.delete(staging.key(artifact.uri, ""))
    await Batches(staging, "processor")._staging.delete(  # noqa: SLF001 - a done batch is never cleared otherwise
        f"runs/run-equal/posts/processor/{there.batch_id}.json"
    )
    local = ProcessorService(Batches(staging, "processor"), datasets_of(load_catalog(environment={})))
    by_itself = await local.process(there)
    assert by_itself.model_copy(update={"produced_at": by_cluster.produced_at}) == by_cluster
    assert await content_of(staging, by_itself) == files
    assert [name for name, _ in files] == ["parquet", "quarantine.jsonl.zst"]
    assert by_cluster.counts.rejected == 500
    assert by_cluster.counts.deduplicated > 0


async def test_what_can_never_be_processed_arrives_as_the_same_error_with_its_reason(
    staging: ObjectStore, service: ProcessorService
) -> None:
    poison = await put_crawled(staging, "posts", lines_of(20), run_id="run-poison", rows=19)
    with pytest.raises(PermanentError, match="20 lines or more, its manifest gives 19") as caught:
        await service.process(poison)
    assert caught.value.reason is Reason.CHECKSUM


async def test_an_event_that_comes_twice_at_once_is_committed_once(
    staging: ObjectStore, service: ProcessorService
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(500), run_id="run-twice")
    first, second = await asyncio.gather(service.process(crawled), service.process(crawled))
    assert first == second


async def test_more_batches_than_the_cluster_holds_wait_for_their_turn(
    staging: ObjectStore, service: ProcessorService, cluster: Cluster
) -> None:
    batches = [
        await put_crawled(staging, "posts", lines_of(300), run_id="run-many", sequence=number)
        for number in range(7)
    ]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, cluster._in_flight)  # noqa: SLF001 - what is bounded
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    results = await asyncio.gather(*(service.process(batch) for batch in batches))
    watching.cancel()
    assert {result.status for result in results} == {"done"}
    assert 1 <= most <= 2


async def test_nothing_secret_reaches_the_scheduler_or_a_log(
    dask: DaskCluster, s3_environment: dict[str, str], service: ProcessorService, staging: ObjectStore
) -> None:
    await service.process(await put_crawled(staging, "posts", lines_of(20), run_id="run-secret"))
    logs = dask.scheduler.log() + "".join(worker.log() for worker in dask.workers)
    assert s3_environment["AWS_SECRET_ACCESS_KEY"] not in logs
    assert "batch_worked" in logs


def test_a_worker_has_no_way_to_kafka_or_postgresql(dask: DaskCluster) -> None:
    for worker in dask.workers:
        environment = Path(f"/proc/{worker.process.pid}/environ").read_text()
        assert "KAFKA" not in environment
        assert "POSTGRES" not in environment
