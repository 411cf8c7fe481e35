"""`python -m deploy.k8s.rollout` brings an overlay into an empty cluster in an order that its processes can live with."""

from datetime import datetime
from typing import Any, Final

import pytest

from deploy.k8s.manifests.jobs import PHASE, PREPARES
from shared.events.topology import SERVICES
from tests.deploy.cluster.api import Object
from tests.deploy.deployment import Deployment
from tests.deploy.rendered import LOCAL

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

RUNS: Final = ("Deployment", "Job")

in_an_empty_cluster: Final = pytest.mark.parametrize("deployed", [LOCAL], indirect=True)


@in_an_empty_cluster
def test_what_prepares_is_done_before_a_service_is_there(deployed: Deployment) -> None:
    jobs = [each for each in deployed.of_kind("Job") if each["metadata"]["labels"].get(PHASE) == PREPARES]
    assert {each["metadata"]["name"] for each in jobs} == {"buckets", "migrate", "topics"}
    done = max(_time(deployed.find(each)["status"]["completionTime"]) for each in jobs)
    assert min(_created(deployed, service) for service in SERVICES) >= done


@in_an_empty_cluster
def test_services_come_in_the_order_of_the_topology(deployed: Deployment) -> None:
    times = [_created(deployed, service) for service in SERVICES]
    assert times == sorted(times)


@in_an_empty_cluster
def test_an_upgrade_is_the_same_command(deployed: Deployment) -> None:
    before = _uids(deployed)

    output = deployed.roll_out()

    assert output.splitlines()[-1] == "everything is rolled out"
    after = _uids(deployed)
    # A Job's pod cannot be changed, so it is made anew and runs again.
    assert {name for name, uid in after.items() if before[name] != uid} == {"buckets", "migrate", "topics"}


def _uids(deployed: Deployment) -> dict[str, str]:
    """Of what runs: an object that is made anew has another."""
    return {
        each["metadata"]["name"]: deployed.find(each)["metadata"]["uid"] for each in deployed.of_kind(*RUNS)
    }


def _created(deployed: Deployment, service: str) -> datetime:
    (found,) = [each for each in deployed.of_kind("Deployment") if each["metadata"]["name"] == service]
    return _time(_metadata(deployed.find(found))["creationTimestamp"])


def _metadata(found: Object) -> dict[str, Any]:
    metadata: dict[str, Any] = found["metadata"]
    return metadata


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
