"""Batches for the tests of the cluster, and the processor's use case that works on them."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from services.processor.cluster.cluster import Cluster
from services.processor.service import ProcessorService
from services.processor.work import Work, work_on
from shared.dask.connection import Connection
from shared.datasets.catalog import load_catalog
from shared.events.models import BatchManifest
from shared.stages.results import Batches
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Sandbox
from tests.support.dask_cluster import DaskCluster
from tests.support.datasets import datasets_of

LIMIT_S = 60.0
DUPLICATES = 5
REFUSED_OF = 10


def lines_of(rows: int) -> list[bytes]:
    """Posts: some with the key of another, and every tenth with a title that is a number."""
    return [
        json.dumps(
            {
                "id": number % (rows - DUPLICATES),
                "userId": 1,
                "title": f"title {number}" if number % REFUSED_OF else number,
                "body": "body " * 10,
            }
        ).encode()
        for number in range(rows)
    ]


def service_with(staging: ObjectStore, work: Work | None = None) -> ProcessorService:
    """Without `work` it does the work itself."""
    return ProcessorService(Batches(staging, "processor"), datasets_of(load_catalog(environment={})), work)


@contextmanager
def local_work(staging: ObjectStore) -> Iterator[Work]:
    """In this process, and without a process of a transform that is left behind."""
    with Sandbox() as sandbox:
        yield partial(work_on, Batches(staging, "processor").artifacts, Transformer(sandbox=sandbox))


@asynccontextmanager
async def cluster_of(dask: DaskCluster, *, limit_s: float = LIMIT_S) -> AsyncIterator[Cluster]:
    connection = Connection(dask.address, None)
    try:
        yield Cluster(connection, limit_s=limit_s)
    finally:
        await connection.close()


async def forget(staging: ObjectStore, result: BatchManifest) -> None:
    """Removes what the processor has made of a batch."""
    names = [staging.key(artifact.uri, "") for artifact in result.artifacts]
    names.append(keys.manifest_key(result.run_id, result.dataset, "processor", result.batch_id))
    for name in names:
        await staging.delete(name)


async def files_of(staging: ObjectStore, result: BatchManifest) -> list[tuple[str, bytes | None]]:
    return [(artifact.uri, await staging.get(staging.key(artifact.uri, ""))) for artifact in result.artifacts]


async def assert_as_if_local(staging: ObjectStore, crawled: BatchManifest, result: BatchManifest) -> None:
    """The processor alone gives the same manifest, keys and bytes."""
    files = await files_of(staging, result)
    assert all(content for _, content in files)
    await forget(staging, result)
    with local_work(staging) as work:
        alone = await service_with(staging, work).process(crawled)
    assert alone.model_copy(update={"produced_at": result.produced_at}) == result
    assert await files_of(staging, alone) == files
