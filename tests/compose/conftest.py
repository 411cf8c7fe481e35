"""One engine and one cluster per session, on images that are made here."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from tests.compose import images
from tests.compose.cluster import Cluster
from tests.compose.commands import install
from tests.compose.engine import Engine
from tests.compose.network import Network
from tests.support.pipeline import Pipeline
from tests.support.records import TestData

VERSION, NEXT_VERSION = "0.1.0", "0.1.1"

Report = Callable[[str], None]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Writes a line of progress to the terminal."""
    began = time.monotonic()
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"\n{time.monotonic() - began:6.0f} s  {line}", end="", flush=True)  # noqa: T201 - meant to be seen

    return tell


@pytest.fixture(scope="session")
def engine(report: Report) -> Iterator[Engine]:
    if installed := install():
        report(f"{', '.join(installed)} installed")
    before = Network.now()
    engine = Engine()
    try:
        engine.start()
        images.build(engine, report)
        for version in (VERSION, NEXT_VERSION):
            images.build_service(engine, version)
        report("the service's image is built, in two versions")
        yield engine
    finally:
        engine.stop()
        report("the engine is gone")
    assert Network.now() == before
    assert not engine.folder.exists()
    assert engine.processes() == []
    assert engine.mounts() == []


@pytest.fixture(scope="session")
def cluster(engine: Engine, report: Report, test_data: TestData) -> Iterator[Cluster]:
    cluster = Cluster(engine, VERSION)
    cluster.prepare()
    cluster.cold_start_s = cluster.up()
    report(f"the cluster is up: {cluster.cold_start_s:.0f} s")
    cluster.serve_records(test_data.folder)
    yield cluster
    cluster.remove_records()
    cluster.compose("--profile", "*", "down", "--volumes")


@pytest.fixture
def pipeline(cluster: Cluster) -> Pipeline:
    return Pipeline(cluster.client_environment())
