"""The pods of an overlay, by the labels that policies see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.cluster.api import Object

COMPONENT: Final = "app.kubernetes.io/component"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Place:
    """Pods that are alike."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int]
    """Of its containers, by name."""


def places(objects: Sequence[Object]) -> tuple[Place, ...]:
    """One for each pod template."""
    return tuple(
        Place(
            name=template["metadata"]["labels"].get(COMPONENT, found["metadata"]["name"]),
            namespace=found["metadata"].get("namespace", "default"),
            labels=template["metadata"]["labels"],
            ports=_ports(template),
        )
        for found in objects
        for template in templates(found)
    )


def templates(found: Object) -> Iterator[dict[str, Any]]:
    """The pod templates in an object: those of a workload, none of anything else."""
    spec = found.get("spec") or {}
    if found["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
        yield spec["template"]
    elif found["kind"] == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]


def _ports(template: Mapping[str, Any]) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container.get("ports", ())
        if "name" in port
    }
