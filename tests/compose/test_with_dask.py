"""The profile `dask`: the processor's batches on workers in containers of their own."""

import uuid

import pytest

from tests.compose.cluster import Cluster
from tests.support.pipeline import Pipeline
from tests.support.records import TestData

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

DATASETS = ("posts", "users", "comments")
PARTS = ("dask-scheduler", "dask-worker")


@pytest.fixture
def started(cluster: Cluster, test_data: TestData) -> Cluster:
    """Whatever ran before: a test of the whole cluster ends with taking it down, and its source with it."""
    cluster.up()
    cluster.remove_records()
    cluster.serve_records(test_data.folder)
    return cluster


@pytest.fixture
def pipeline(started: Cluster) -> Pipeline:
    return Pipeline(started.client_environment())


async def test_the_processor_gives_its_batches_to_the_workers_of_the_profile(
    cluster: Cluster, pipeline: Pipeline, test_data: TestData
) -> None:
    cluster.set_for_services({"ONPOINT_DASK_SCHEDULER_ADDRESS": "tcp://dask-scheduler:8786"})
    cluster.compose(
        *("--profile", "dask", "up", "--detach", "--no-build", "--wait", "--wait-timeout", "240"),
        *("--scale", "dask-worker=2", *PARTS, "processor"),
    )
    run_id = f"dask-{uuid.uuid4().hex[:8]}"
    done = await pipeline.run({"run_id": run_id, "datasets": list(DATASETS)}, within_s=180)
    assert (done["status"], done["reason"]) == ("succeeded", None)
    for dataset in DATASETS:
        assert await pipeline.rows(dataset, f"_run_id = '{run_id}'") == test_data.expected(dataset)
    logs = cluster.compose("--profile", "dask", "logs", "--no-color", "dask-worker")
    assert logs.count('"batch_worked"') >= len(DATASETS)
    for worker in cluster.compose("--profile", "dask", "ps", "--quiet", "dask-worker").split():
        environment = cluster.engine.docker("inspect", "--format", "{{json .Config.Env}}", worker)
        assert "KAFKA" not in environment
        assert "POSTGRES" not in environment
