"""An update and a node that is emptied leave every service the replicas that its disruption budget promises."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.deploy.cluster.api import Object
from tests.deploy.deployment import Deployment
from tests.deploy.graph.policies import matches
from tests.deploy.rendered import OVERLAYS

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

POLL_S = 0.05
every_overlay = pytest.mark.parametrize("deployed", OVERLAYS, indirect=True)


class Watch:
    """The fewest ready pods of each budget that were seen."""

    def __init__(self, deployed: Deployment) -> None:
        self._deployed = deployed
        self._budgets = deployed.of_kind("PodDisruptionBudget")
        self._over = threading.Event()
        self.looks = 0
        self.fewest: dict[str, int] = {}
        self.promised: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        for budget in self._budgets:
            self.promised[_name(budget)] = int(self._deployed.find(budget)["status"]["desiredHealthy"])
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def broken(self) -> dict[str, int]:
        return {name: fewest for name, fewest in self.fewest.items() if fewest < self.promised[name]}

    def _look(self) -> None:
        while not self._over.is_set():
            pods = self._deployed.cluster.api.items(self._deployed.path("api/v1", "pods"))
            for budget in self._budgets:
                ready = sum(_is_ready(pod) and _is_meant(budget, pod) for pod in pods)
                name = _name(budget)
                self.fewest[name] = min(ready, self.fewest.get(name, ready))
            self.looks += 1
            time.sleep(POLL_S)


@every_overlay
def test_every_service_that_has_two_replicas_has_a_budget(deployed: Deployment) -> None:
    deployed.settle()
    budgets = deployed.of_kind("PodDisruptionBudget")
    several = [each for each in deployed.of_kind("Deployment") if deployed.find(each)["spec"]["replicas"] > 1]
    bare = [
        _name(each)
        for each in several
        if not any(matches(budget["spec"]["selector"], _labels(each)) for budget in budgets)
    ]
    assert bare == []


@every_overlay
def test_an_update_keeps_every_budget(deployed: Deployment) -> None:
    deployed.settle()
    names = [_name(each) for each in deployed.of_kind("Deployment")]
    with Watch(deployed).watching() as watch:
        code, output = deployed.cluster.kubectl.run(
            "rollout", "restart", "--namespace", deployed.namespace, *(f"deployment/{name}" for name in names)
        )
        assert code == 0, output
        for name in names:
            code, output = deployed.cluster.kubectl.run(
                "rollout", "status", "--namespace", deployed.namespace, f"deployment/{name}", "--timeout=180s"
            )
            assert code == 0, output
    assert watch.looks > len(names)
    assert watch.broken() == {}


@every_overlay
def test_a_node_that_is_emptied_keeps_every_budget(deployed: Deployment) -> None:
    deployed.settle()
    node = _node_with_most(deployed)
    with Watch(deployed).watching() as watch:
        code, output = deployed.cluster.kubectl.run(
            "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s"
        )
        assert code == 0, output
        deployed.settle()
    assert watch.broken() == {}
    code, output = deployed.cluster.kubectl.run("uncordon", node)
    assert code == 0, output


@pytest.mark.parametrize("deployed", ["prod"], indirect=True)
def test_a_budget_refuses_to_lose_more_than_it_allows(deployed: Deployment) -> None:
    deployed.settle()
    pods = deployed.cluster.api.items(deployed.path("api/v1", "pods"))
    budget = deployed.of_kind("PodDisruptionBudget")[0]
    allowed = int(deployed.find(budget)["status"]["disruptionsAllowed"])
    answers = [_evict(deployed, pod) for pod in pods if _is_ready(pod) and _is_meant(budget, pod)]
    assert answers[:allowed] == [201] * allowed
    assert set(answers[allowed:]) == {429}
    deployed.settle()


def _evict(deployed: Deployment, pod: Object) -> int:
    body: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": _name(pod), "namespace": deployed.namespace},
    }
    return deployed.cluster.api.ask(
        "POST", deployed.path("api/v1", f"pods/{_name(pod)}/eviction"), body
    ).status


def _node_with_most(deployed: Deployment) -> str:
    pods = deployed.cluster.api.items(deployed.path("api/v1", "pods"))
    nodes = [pod["spec"]["nodeName"] for pod in pods if _is_ready(pod)]
    return str(max(set(nodes), key=nodes.count))


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]


def _is_meant(budget: Object, pod: Object) -> bool:
    return matches(budget["spec"]["selector"], pod["metadata"]["labels"])


def _labels(deployment: Object) -> dict[str, str]:
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])
