"""A real API server takes every object of every overlay, and its controllers make of them what was meant."""

import pytest

from tests.deploy.cluster.api import described
from tests.deploy.deployment import Deployment
from tests.deploy.rendered import OVERLAYS

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

every_overlay = pytest.mark.parametrize("deployed", OVERLAYS, indirect=True)


@every_overlay
def test_every_object_is_taken(deployed: Deployment) -> None:
    applied = [line for line in deployed.output.splitlines() if line.endswith(" serverside-applied")]
    assert len(applied) == len(deployed.objects)
    assert all(deployed.find(each)["metadata"]["uid"] for each in deployed.objects)


@every_overlay
def test_the_server_warns_of_nothing(deployed: Deployment) -> None:
    """It warns of what is deprecated, of what it ignores, and of pods that Pod Security would refuse."""
    assert [line for line in deployed.output.splitlines() if line.startswith("Warning")] == []


@every_overlay
def test_deployments_become_ready_and_jobs_end(deployed: Deployment) -> None:
    deployed.settle()


@every_overlay
def test_applying_it_again_changes_nothing(deployed: Deployment) -> None:
    deployed.settle()
    before = {described(each): deployed.find(each)["metadata"].get("generation") for each in deployed.objects}

    deployed.apply()

    after = {described(each): deployed.find(each)["metadata"].get("generation") for each in deployed.objects}
    assert after == before


@every_overlay
def test_a_pod_as_root_is_refused_where_the_services_are(deployed: Deployment) -> None:
    answer = deployed.cluster.api.ask(
        "POST",
        deployed.path("api/v1", "pods"),
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "root"},
            "spec": {"containers": [{"name": "root", "image": "root", "securityContext": {"runAsUser": 0}}]},
        },
    )
    assert answer.status == 403
    assert 'violates PodSecurity "restricted' in answer.message
