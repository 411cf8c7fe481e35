"""One stand-in of AWS and one copy of deploy/terraform per session, and a plan of each environment."""

from collections.abc import Iterator

import pytest

from tests.terraform.aws import Aws
from tests.terraform.plan import Plan
from tests.terraform.workspace import Workspace


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, aws: Aws) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("terraform"), aws)
    for name in ("dev", "prod"):
        workspace.prepare(name)
    return workspace


@pytest.fixture(scope="session")
def dev(workspace: Workspace) -> Plan:
    """As its example has it: KubernetesExecutor, and change capture by Kafka Connect."""
    return workspace.plan("dev")


@pytest.fixture(scope="session")
def prod(workspace: Workspace) -> Plan:
    """With every option: CeleryExecutor, DMS, and an API that named addresses reach."""
    return workspace.plan(
        "prod",
        airflow_executor="CeleryExecutor",
        dms={},
        public_cidrs=["203.0.113.0/24"],
        administrators={"platform": "arn:aws:iam::123456789012:role/platform"},
    )
