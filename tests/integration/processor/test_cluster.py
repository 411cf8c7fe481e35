"""Batches on a real Dask scheduler and real workers, with the real object store."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from deploy.local.ports import HOST, free_port
from services.processor.cluster.cluster import Cluster
from services.processor.cluster.fallback import LocalFallback
from services.processor.service import ProcessorService
from services.processor.work import work_on
from shared.dask.connection import Connection
from shared.dask.errors import ClusterAwayError
from shared.dask.security import security_of
from shared.errors import PermanentError
from shared.reasons import Reason
from shared.settings.dask import DaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_s3
from shared.transforms.apply import Transformer
from tests.support.certificates import make_ca, make_client_certificate
from tests.support.crawled import a_dataset, copy_batch, put_crawled
from tests.support.dask_batches import LIMIT_S, assert_as_if_local, cluster_of, lines_of, service_with
from tests.support.dask_cluster import DaskCluster
from tests.support.datasets import datasets_of

pytestmark = pytest.mark.integration


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
    async with cluster_of(dask) as cluster:
        yield cluster


@pytest.fixture
def service(staging: ObjectStore, cluster: Cluster) -> ProcessorService:
    return service_with(staging, cluster.work)


async def test_the_cluster_gives_the_same_keys_manifests_and_bytes_as_the_processor_itself(
    staging: ObjectStore, service: ProcessorService
) -> None:
    requests = [{"place": 0, "rows": 5_000, "url": "http://somewhere/posts"}]
    there = await put_crawled(staging, "posts", lines_of(5_000), requests=requests, run_id="run-equal")
    by_cluster = await service.process(there)
    assert [artifact.format for artifact in by_cluster.artifacts] == ["parquet", "quarantine.jsonl.zst"]
    assert by_cluster.counts.rejected == 500
    assert by_cluster.counts.deduplicated > 0
    await assert_as_if_local(staging, there, by_cluster)


async def test_a_replayed_batch_is_rewritten_there_as_here(
    staging: ObjectStore, service: ProcessorService
) -> None:
    processed = await service.process(await put_crawled(staging, "posts", lines_of(50), run_id="run-first"))
    copied = await copy_batch(staging, processed, "run-second")
    await assert_as_if_local(staging, copied, await service.process(copied))


async def test_a_version_of_columns_is_made_there_as_here(staging: ObjectStore, cluster: Cluster) -> None:
    columns = [{"name": "id", "type": "int64"}]
    dataset = a_dataset(
        columns, key=["id"], name="growing", schema={"new_columns": "evolve", "types": "widen"}
    )
    datasets = datasets_of({"growing": dataset}, staging)
    lines = [json.dumps({"id": n, "extra": n or "x", "more": n}).encode() for n in range(50)]
    crawled = await put_crawled(staging, "growing", lines, run_id="run-growing")
    there = await ProcessorService(Batches(staging, "processor"), datasets, cluster.work).process(crawled)
    assert there.columns_version == 2
    assert there.detail == "version 2 of its columns: extra (json) is added, more (int32) is added"
    await staging.delete(keys.manifest_key("run-growing", "growing", "processor", there.batch_id))
    here = await ProcessorService(Batches(staging, "processor"), datasets).process(crawled)
    assert (here.artifacts, here.columns_version, here.detail) == (there.artifacts, 2, there.detail)


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


async def test_without_an_answering_scheduler_the_processor_works_itself_by_setting(
    staging: ObjectStore,
) -> None:
    nowhere = Cluster(Connection(f"tcp://{HOST}:{free_port()}", None), limit_s=LIMIT_S)
    local = partial(work_on, Batches(staging, "processor").artifacts, Transformer())
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id="run-nowhere")
    with pytest.raises(ClusterAwayError, match="no answer within 5 s"):
        await service_with(staging, nowhere.work).process(crawled)
    fallback = LocalFallback(nowhere, local, at_once=1)
    assert (await service_with(staging, fallback.work).process(crawled)).status == "done"


@pytest.mark.parametrize("signed_by", ["ca", "other"])
async def test_tls_takes_certificates_of_its_own_ca_only(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path, signed_by: str
) -> None:
    cas = {name: make_ca(tmp_path / name) for name in ("ca", "other")}
    tls = {
        "ONPOINT_DASK_TLS_CA_FILE": str(cas["ca"]),
        **certificate_of(cas["ca"], "part"),
    }
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id=f"run-tls-{signed_by}")
    with DaskCluster(tmp_path, s3_environment, workers=1, tls=tls) as dask:
        await dask.ready()
        own = {"ONPOINT_DASK_TLS_CA_FILE": str(cas[signed_by]), **certificate_of(cas[signed_by], "own")}
        settings = load_settings(DaskSettings, dask.settings | own)
        connection = Connection(dask.address, security_of(settings))
        service = service_with(staging, Cluster(connection, limit_s=LIMIT_S).work)
        if signed_by == "ca":
            assert (await service.process(crawled)).status == "done"
        else:
            with pytest.raises(ClusterAwayError, match="its certificate is not of the CA"):
                await service.process(crawled)
        await connection.close()


def certificate_of(ca: Path, name: str) -> dict[str, str]:
    made = make_client_certificate(ca, name, f"/CN={name}")
    return {
        "ONPOINT_DASK_TLS_CERT_FILE": str(made.certificate),
        "ONPOINT_DASK_TLS_KEY_FILE": str(made.key),
    }
