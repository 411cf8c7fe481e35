"""Whole runs with the processor's batches on the local stack's own Dask cluster, parts of which are killed meanwhile."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from deploy.local.home import PROJECT_ROOT
from deploy.local.names import DASK_SCHEDULER, dask_worker
from deploy.local.ports import HOST
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DATASETS = ("posts", "users", "comments", "todos", "albums", "photos")
PAGE_SIZE = 20
RUN_S = 180.0
WORKERS = [dask_worker(number) for number in (1, 2)]


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, slow_source: SourceServer) -> Iterator[LocalStack]:
    extra = {
        "ONPOINT_CRAWL_ALLOW_HOSTS": slow_source.allow,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": slow_source.url,
        "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
        "ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE": str(PAGE_SIZE),
        "ONPOINT_CRAWL_BATCH_ROWS": "1000",
    }
    home = tmp_path_factory.mktemp("clustered")
    with LocalStack(home, ports="free", extra_env=extra, dask_workers=len(WORKERS)) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="module")
def pipeline(clustered: LocalStack) -> Pipeline:
    return Pipeline(clustered.environment())


def worked(stack: LocalStack) -> int:
    """Batches that the workers have answered."""
    return sum(stack.home.log_file(name).read_text().count('"batch_worked"') for name in WORKERS)


def readiness(port: int) -> str:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().read().decode()


async def wait_for_batches(stack: LocalStack, least: int) -> None:
    async with asyncio.timeout(60):
        while worked(stack) < least:
            await asyncio.sleep(0.02)


async def assert_content(pipeline: Pipeline, run_id: str, test_data: TestData) -> None:
    for dataset in DATASETS:
        assert await pipeline.rows(dataset, f"_run_id = '{run_id}'") == test_data.expected(dataset)
        assert pipeline.lake_rows(run_id, dataset) == test_data.expected(dataset)
    for service in SERVICES:
        assert not await pipeline.dead_letters_of_run(service, run_id)


def test_the_cluster_is_a_part_of_the_stack(clustered: LocalStack) -> None:
    states = {row.name: row.state for row in clustered.rows()}
    assert {states[name] for name in (DASK_SCHEDULER, *WORKERS)} == {"ready"}
    for name in WORKERS:
        environment = clustered.process(name).environ()
        assert environment["ONPOINT_STAGING_BUCKET"]
        assert not any("KAFKA" in variable or "POSTGRES" in variable for variable in environment)
    for name in (DASK_SCHEDULER, *WORKERS):
        listening = [c.laddr.ip for c in clustered.process(name).net_connections() if c.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}
        assert not any(
            clustered.environment()["AWS_SECRET_ACCESS_KEY"] in part
            for part in clustered.process(name).cmdline()
        )


@pytest.mark.parametrize("part", ["processor", WORKERS[0], DASK_SCHEDULER])
async def test_a_part_that_is_killed_in_the_middle_of_a_run_changes_nothing_of_its_result(
    clustered: LocalStack, pipeline: Pipeline, test_data: TestData, part: str
) -> None:
    run_id = f"dask-{part}-{uuid.uuid4().hex[:6]}"
    before = worked(clustered)
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS)})
        await wait_for_batches(clustered, before + 1)
        pid = await asyncio.to_thread(clustered.kill, part)
        done = await completions.of(run_id, RUN_S)
        await asyncio.to_thread(clustered.wait_ready, part, other_than=pid)
    assert (done["status"], done["reason"]) == ("succeeded", None)
    await assert_content(pipeline, run_id, test_data)
    assert worked(clustered) >= before + len(DATASETS)


async def test_a_cluster_that_is_away_for_a_minute_is_waited_for_and_readyz_says_so(
    clustered: LocalStack, pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = f"dask-away-{uuid.uuid4().hex[:6]}"
    await asyncio.to_thread(clustered.stop, DASK_SCHEDULER)
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": run_id, "datasets": list(DATASETS)})
        await asyncio.sleep(60)
        states = {row.name: row.state for row in clustered.rows()}
        assert states["processor"] != "ready"
        told = await asyncio.to_thread(readiness, clustered.http_port("processor"))
        assert re.search(
            r"partition batch\.crawled-\d paused since .*: ConnectionLostError: the Dask scheduler", told
        )
        assert "the Dask scheduler" in clustered.home.log_file("processor").read_text()
        await asyncio.to_thread(clustered.start, DASK_SCHEDULER)
        done = await completions.of(run_id, RUN_S)
    assert (done["status"], done["reason"]) == ("succeeded", None)
    await assert_content(pipeline, run_id, test_data)
    await asyncio.to_thread(clustered.wait_ready)


def test_the_lake_is_profiled_by_the_cluster_of_the_stack(clustered: LocalStack) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "console", "datasets", "profile", "posts", "--json"],
        cwd=PROJECT_ROOT,
        env={**environment, "ONPOINT_HOME": str(clustered.home.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (json.loads(done.stdout)["rows"] > 0, done.stderr) == (True, "")
