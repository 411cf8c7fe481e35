"""The autoscalers decide as was asked, on a real controller: by use of CPU and memory, and by lag as KEDA tells it."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.deploy.autoscalers import external_metric, faster, of_scaled_object
from tests.deploy.cluster.api import Object
from tests.deploy.deployment import Deployment
from tests.deploy.rendered import OVERLAYS, rendered

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

LEAST, MOST = 2, 20
ASKED: Final = {
    "scaleUp": {
        "stabilizationWindowSeconds": 60,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    },
}
"""At most twice as many a minute, after a minute; at most half as many fewer a minute, after five."""

CPU_TARGET = 0.7
STEP_WITHIN_S = 120
POLL_S = 0.2


def autoscalers_of(overlay: str) -> list[Object]:
    """Its own, and those that KEDA would make."""
    objects = rendered(overlay)
    own = [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    return [*own, *(of_scaled_object(each) for each in objects if each["kind"] == "ScaledObject")]


def target_of(autoscaler: Object) -> str:
    return str(autoscaler["spec"]["scaleTargetRef"]["name"])


AUTOSCALED: Final = "prod"
"""The overlay that has both kinds: CPU and memory own the number of replicas of some services, KEDA of others."""

BOUNDS: Final = {"local": (1, 6), "dev": (LEAST, MOST), "prod": (LEAST, MOST)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_deployment_has_one_owner_of_its_replicas(overlay: str) -> None:
    """A number in the manifest, or one autoscaler: two owners would undo one another."""
    targets = [target_of(each) for each in autoscalers_of(overlay)]
    deployments = {
        each["metadata"]["name"]: each["spec"] for each in rendered(overlay) if each["kind"] == "Deployment"
    }
    owners = {name: targets.count(name) + ("replicas" in spec) for name, spec in deployments.items()}
    assert owners == dict.fromkeys(deployments, 1)
    assert set(targets) <= set(deployments)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_they_have_the_bounds_and_the_pace_that_were_asked(overlay: str) -> None:
    found = {
        target_of(each): (each["spec"]["minReplicas"], each["spec"]["maxReplicas"], each["spec"]["behavior"])
        for each in autoscalers_of(overlay)
    }
    assert found == dict.fromkeys(found, (*BOUNDS[overlay], ASKED))


class Scaled:
    """One autoscaler at work, in a faster time."""

    def __init__(self, deployed: Deployment, autoscaler: Object) -> None:
        self._api = deployed.cluster.api
        self.name = target_of(autoscaler)
        self.namespace = deployed.namespace
        self.adapter = deployed.cluster.adapter
        self._path = deployed.path("apis/apps/v1", f"deployments/{self.name}")
        self._autoscaler = faster(autoscaler)
        answer = self._api.apply(self._autoscaler)
        assert answer.accepted, answer.message

    def replicas(self) -> int:
        return int(self._api.read(self._path)["spec"]["replicas"])

    def ready(self) -> int:
        return int(self._api.read(self._path)["status"].get("readyReplicas", 0))

    def steps_to(self, wanted: int) -> list[int]:
        """What replicas were asked for on the way, in order; returns when as many are ready."""
        steps = [self.replicas()]
        end_s = time.monotonic() + STEP_WITHIN_S
        while self.ready() != wanted or steps[-1] != wanted:
            if (now := self.replicas()) != steps[-1]:
                steps.append(now)
            assert time.monotonic() < end_s, f"{self.name}: {steps}, wanted {wanted}: {self.why()}"
            time.sleep(POLL_S)
        return steps

    def stays(self, wanted: int, for_s: float) -> None:
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            assert self.replicas() == wanted
            time.sleep(POLL_S)

    def why(self) -> list[str]:
        """What the controller says of its own state."""
        found = self._api.read(self._api.path_of(self._autoscaler))
        return [
            f"{each['type']}={each['status']}: {each['message']}"
            for each in found["status"].get("conditions", [])
        ]


@pytest.fixture
def scaled(deployed: Deployment) -> Iterator[Callable[[Object], Scaled]]:
    """Lets an autoscaler work. What it was is restored by the next application of the overlay."""
    yield lambda autoscaler: Scaled(deployed, autoscaler)
    deployed.apply()


def find(autoscalers: list[Any], kind: str) -> Object:
    """The first with a metric of that kind."""
    return next(
        each for each in autoscalers if any(metric["type"] == kind for metric in each["spec"]["metrics"])
    )


@pytest.mark.parametrize("deployed", [AUTOSCALED], indirect=True)
def test_cpu_takes_a_service_from_two_replicas_to_twenty_and_back(
    deployed: Deployment, scaled: Callable[[Object], Scaled]
) -> None:
    deployed.settle()
    service = scaled(find(deployed.of_kind("HorizontalPodAutoscaler"), "Resource"))
    service.adapter.set_work(service.namespace, service.name, cpu=0.0)
    service.steps_to(LEAST)

    # More than twenty can do: within a tenth of its target, an autoscaler leaves a number as it is.
    service.adapter.set_work(service.namespace, service.name, cpu=2 * MOST * CPU_TARGET)
    up = service.steps_to(MOST)
    assert up == [2, 4, 8, 16, 20]

    service.adapter.set_work(service.namespace, service.name, cpu=0.0)
    down = service.steps_to(LEAST)
    assert down == [20, 10, 5, 3, 2]


@pytest.mark.parametrize("deployed", [AUTOSCALED], indirect=True)
def test_work_that_seven_replicas_have_at_their_target_gets_seven(
    deployed: Deployment, scaled: Callable[[Object], Scaled]
) -> None:
    deployed.settle()
    service = scaled(find(deployed.of_kind("HorizontalPodAutoscaler"), "Resource"))
    service.adapter.set_work(service.namespace, service.name, cpu=7 * CPU_TARGET)
    service.steps_to(7)
    service.stays(7, 10)


@pytest.mark.parametrize("deployed", [AUTOSCALED], indirect=True)
def test_lag_takes_a_service_from_two_replicas_to_twenty_and_back(
    deployed: Deployment, scaled: Callable[[Object], Scaled]
) -> None:
    deployed.settle()
    made = of_scaled_object(deployed.of_kind("ScaledObject")[0])
    service = scaled(made)
    lag, rows = (_value(made, external_metric(place)) for place in (0, 1))
    for metric in (lag, rows):
        service.adapter.set_external(service.namespace, metric[0], 0)
    service.steps_to(LEAST)

    service.adapter.set_external(service.namespace, lag[0], lag[1] * MOST)
    assert _doubles(service.steps_to(MOST))

    service.adapter.set_external(service.namespace, lag[0], 0)
    service.steps_to(LEAST)


def _value(autoscaler: Object, name: str) -> tuple[str, float]:
    """The metric of that name with its target per replica."""
    for metric in autoscaler["spec"]["metrics"]:
        if metric["type"] == "External" and metric["external"]["metric"]["name"] == name:
            return name, float(metric["external"]["target"]["averageValue"])
    raise AssertionError(f"there is no {name}")


def _doubles(steps: list[int]) -> bool:
    return all(after <= 2 * before for before, after in itertools.pairwise(steps))
