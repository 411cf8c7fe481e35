"""A Dask cluster that is killed, stopped, slow or of another version: no batch is lost, and all bytes stay the same."""

import asyncio
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.processor.cluster.errors import BatchTimeError
from services.processor.cluster.fallback import LocalFallback
from shared.dask.errors import ClusterAwayError, ConnectionLostError
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage import keys
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.crawled import put_crawled
from tests.support.dask_batches import assert_as_if_local, cluster_of, lines_of, local_work, service_with
from tests.support.dask_cluster import ROOT, WITHIN_S, DaskCluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

STOPS_AT_ITS_FIRST_FILE = {"STOP_AT": "processor.put:1"}
SHORT_LIMIT_S = 5.0

OTHER_VERSION = """\
import importlib.metadata as metadata
known = metadata.version
metadata.version = lambda name: "0.0.1" if name == "{}" else known(name)
"""


@pytest.fixture(scope="module")
def staging(s3_environment: dict[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    return open_s3(settings, settings.staging_bucket)


def with_code(folder: Path, code: str) -> dict[str, str]:
    """The settings of a worker that runs this code when it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


async def test_a_worker_that_is_killed_in_the_middle_leaves_its_batch_to_another(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(5_000), run_id="run-killed")
    with DaskCluster(tmp_path, s3_environment, each={0: STOPS_AT_ITS_FIRST_FILE}) as dask:
        dask.workers[1].kill()
        await dask.ready(0)
        async with cluster_of(dask) as cluster:
            working = asyncio.create_task(service_with(staging, cluster.work).process(crawled))
            await dask.workers[0].stopped()
            dask.workers[1].start()
            await dask.ready(1)
            dask.workers[0].kill()
            result = await working
    await assert_as_if_local(staging, crawled, result)


async def test_a_scheduler_that_is_killed_and_started_again_gets_its_batches_again(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(5_000), run_id="run-scheduler")
    with DaskCluster(tmp_path, s3_environment, workers=1, each={0: STOPS_AT_ITS_FIRST_FILE}) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            service = service_with(staging, cluster.work)
            working = asyncio.create_task(service.process(crawled))
            await dask.workers[0].stopped()
            dask.scheduler.kill()
            with pytest.raises(ConnectionLostError):
                await working
            with pytest.raises(ConnectionLostError):
                await service.process(crawled)
            assert (
                await staging.get(keys.manifest_key("run-scheduler", "posts", "processor", crawled.batch_id))
                is None
            )
            dask.start_scheduler()
            dask.workers[0].send(signal.SIGCONT)
            assert await dask.workers[0].ended() == 1
            assert "scheduler_gone" in dask.workers[0].log()
            dask.workers[0].kill()
            dask.workers[0].forget("STOP_AT")
            dask.workers[0].start()
            await dask.ready()
            result = await service.process(crawled)
    await assert_as_if_local(staging, crawled, result)


async def test_a_scheduler_that_answers_no_more_is_given_up(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(500), run_id="run-silent")
    with DaskCluster(tmp_path, s3_environment, workers=1, each={0: STOPS_AT_ITS_FIRST_FILE}) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            working = asyncio.create_task(service_with(staging, cluster.work).process(crawled))
            await dask.workers[0].stopped()
            dask.scheduler.send(signal.SIGSTOP)
            with pytest.raises(ConnectionLostError, match="does not answer"):
                await working


async def test_batches_are_worked_on_here_while_the_cluster_is_away_and_there_when_it_is_back(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    dask = DaskCluster(tmp_path, s3_environment, workers=1)
    try:
        with local_work(staging) as local:
            async with cluster_of(dask) as cluster:
                service = service_with(staging, LocalFallback(cluster, local, at_once=1).work)
                for number, is_there in enumerate((False, True, False, True)):
                    if is_there:
                        dask.start()
                        await dask.ready()
                    else:
                        dask.stop()
                    crawled = await put_crawled(
                        staging, "posts", lines_of(500), run_id="run-away", sequence=number
                    )
                    assert (await service.process(crawled)).status == "done"
                    assert dask.workers[0].log().count("batch_worked") == (number + 1) // 2
    finally:
        dask.stop()


@pytest.mark.parametrize("changed", ["code", "library"])
async def test_a_worker_of_another_version_gets_no_batch(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path, changed: str
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id=f"run-other-{changed}")
    with DaskCluster(tmp_path, s3_environment, workers=1, each={0: other_version(tmp_path, changed)}) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            what = "code" if changed == "code" else "zstandard 0.0.1"
            with pytest.raises(ClusterAwayError, match=f"would write other bytes: {what}"):
                await service_with(staging, cluster.work).process(crawled)
        assert "batch_worked" not in dask.workers[0].log()


def other_version(folder: Path, changed: str) -> Mapping[str, str]:
    if changed == "code":
        for package in ("services", "shared"):
            shutil.copytree(
                ROOT / package, folder / "copy" / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        with (folder / "copy" / "services" / "processor" / "engine.py").open("a") as file:
            file.write("# another\n")
        return {"PYTHONPATH": str(folder / "copy")}
    return with_code(folder / "other", OTHER_VERSION.format("zstandard"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (OTHER_VERSION.format("distributed"), "another version: distributed 0.0.1"),
        ("import sys\nsys.modules['services'] = None\n", "where OnPoint of this version is installed"),
    ],
)
async def test_a_scheduler_of_another_version_or_without_our_code_gets_no_batch(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path, code: str, told: str
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id=f"run-{len(code)}")
    with DaskCluster(
        tmp_path, s3_environment, workers=1, scheduler=with_code(tmp_path / "code", code)
    ) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            with pytest.raises(ClusterAwayError, match=told):
                await service_with(staging, cluster.work).process(crawled)


async def test_a_batch_that_never_ends_is_given_up_and_its_worker_ends_itself(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id="run-endless")
    endless = "import services.processor.work as work\ndef clean_raw(*_):\n  while True: pass\nwork.clean_raw = clean_raw\n"
    with DaskCluster(
        tmp_path, s3_environment, each={n: with_code(tmp_path / f"code-{n}", endless) for n in range(2)}
    ) as dask:
        await dask.ready()
        async with cluster_of(dask, limit_s=SHORT_LIMIT_S) as cluster:
            with pytest.raises(BatchTimeError, match="longer than 5 s"):
                await service_with(staging, cluster.work).process(crawled)
            async with asyncio.timeout(WITHIN_S):
                while not (over := [worker for worker in dask.workers if worker.process.poll() is not None]):
                    await asyncio.sleep(0.1)
            (busy,) = over
            assert await busy.ended() != 0
            assert "clean_raw" in busy.log()
            await asyncio.sleep(2)
            assert [worker.process.poll() is None for worker in dask.workers].count(True) == 1


async def test_a_processor_that_is_cancelled_leaves_nothing_committed_and_the_cluster_free(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(2_000), run_id="run-cancelled")
    with DaskCluster(tmp_path, s3_environment, workers=1, each={0: STOPS_AT_ITS_FIRST_FILE}) as dask:
        await dask.ready()
        async with cluster_of(dask) as cluster:
            service = service_with(staging, cluster.work)
            working = asyncio.create_task(service.process(crawled))
            await dask.workers[0].stopped()
            began = time.monotonic()
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert time.monotonic() - began < 1
            assert (
                await staging.get(keys.manifest_key("run-cancelled", "posts", "processor", crawled.batch_id))
                is None
            )
            dask.workers[0].send(signal.SIGCONT)
            result = await service.process(crawled)
    await assert_as_if_local(staging, crawled, result)


async def test_a_worker_that_is_out_of_memory_gets_no_batch_and_that_is_told(
    staging: ObjectStore, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    crawled = await put_crawled(staging, "posts", lines_of(50), run_id="run-paused")
    full = with_code(tmp_path / "full", "ballast = bytearray(b'x') * (300 * 2**20)\n")
    with DaskCluster(
        tmp_path, s3_environment, workers=1, each={0: full | {"ONPOINT_DASK_WORKER_MEMORY_MIB": "256"}}
    ) as dask:
        await dask.ready()
        await asyncio.sleep(2)
        async with cluster_of(dask) as cluster:
            with pytest.raises(ClusterAwayError, match=r"stand still \(paused\)"):
                await service_with(staging, cluster.work).process(crawled)
