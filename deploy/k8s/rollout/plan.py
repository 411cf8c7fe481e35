"""The order of a rollout. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.k8s.manifests.jobs import PHASE, PREPARES
from shared.events.topology import SERVICES

Object = Mapping[str, Any]

NAMESPACES: Final = frozenset({"Namespace"})
SCALERS: Final = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})

READY: Final[Mapping[str, str]] = {
    "ExternalSecret": "condition=Ready",
    "Kafka": "condition=Ready",
    "KafkaTopic": "condition=Ready",
    "KafkaUser": "condition=Ready",
    "Job": "condition=Complete",
}
"""Kinds that are waited for, and by what."""

ROLLED_OUT: Final = frozenset({"Deployment", "StatefulSet"})
"""Kinds that are waited for by their rollout."""


@dataclass(frozen=True, slots=True)
class Step:
    """Objects that are applied together, and then waited for."""

    name: str
    objects: tuple[Object, ...]
    anew: bool = False
    """True: what is there of them is removed first, as a Job's pod cannot be changed."""

    def waited_for(self) -> list[tuple[str, str]]:
        """What is waited for as `kind/name`, and by which condition; empty for a rollout."""
        found = []
        for each in self.objects:
            name = f"{each['kind'].lower()}/{each['metadata']['name']}"
            if each["kind"] in ROLLED_OUT:
                found.append((name, ""))
            elif each["kind"] in READY:
                found.append((name, READY[each["kind"]]))
        return found


def plan(objects: Iterable[Object]) -> list[Step]:
    """The steps that have objects.

    The services follow the topology's order: each reads what an older one wrote. Autoscalers come last, so that they do not
    add replicas of a version that is about to go.
    """
    everything = list(objects)
    jobs = [each for each in everything if _labels(each).get(PHASE) == PREPARES and each["kind"] == "Job"]
    deployments = [each for each in everything if each["kind"] == "Deployment"]
    services = [[each for each in deployments if each["metadata"]["name"] == name] for name in SERVICES]
    others = [each for each in deployments if each["metadata"]["name"] not in SERVICES]
    scalers = [each for each in everything if each["kind"] in SCALERS]
    namespaces = [each for each in everything if each["kind"] in NAMESPACES]
    later = [*jobs, *deployments, *scalers, *namespaces]
    needed = [each for each in everything if not any(each is one for one in later)]
    steps = [
        Step("namespaces", tuple(namespaces)),
        Step("settings, secrets, network and servers", tuple(needed)),
        Step("tables, topics and buckets", tuple(jobs), anew=True),
        *(Step(name, tuple(found)) for name, found in zip(SERVICES, services, strict=True)),
        Step("what is beside the services", tuple(others)),
        Step("autoscalers", tuple(scalers)),
    ]
    return [step for step in steps if step.objects]


def _labels(each: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = each["metadata"].get("labels", {})
    return labels
