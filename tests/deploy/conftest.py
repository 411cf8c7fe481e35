"""One simulated cluster for all tests, and an overlay that is deployed to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.cluster.schemas import write_schemas
from tests.deploy.cluster.simulated import SimulatedCluster
from tests.deploy.deployment import Deployment
from tests.deploy.rendered import LOCAL


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedCluster]:
    with SimulatedCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest, cluster: SimulatedCluster) -> Iterator[Deployment]:
    """The overlay that the test names, applied as an operator does; removed with its namespaces afterwards."""
    deployment = Deployment(cluster, request.param)
    try:
        if deployment.overlay == LOCAL:
            deployment.roll_out()
        deployment.apply()
        yield deployment
    finally:
        deployment.remove()


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every kind, for kubeconform."""
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(folder)
    return folder
