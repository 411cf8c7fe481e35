"""What objects name exists: simulated pods start without their secrets, real ones wait for them for ever."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.deploy.cluster.api import Object, described, of_kind
from tests.deploy.graph.places import templates
from tests.deploy.graph.policies import matches
from tests.deploy.rendered import LOCAL, OVERLAYS, local_secrets, rendered

pytestmark = pytest.mark.deploy

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
Reference = tuple[str, str]

NAMED_BY: Final = {
    "configMapRef": ("ConfigMap", "name"),
    "configMapKeyRef": ("ConfigMap", "name"),
    "configMap": ("ConfigMap", "name"),
    "secretRef": ("Secret", "name"),
    "secretKeyRef": ("Secret", "name"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""The fields of a pod that name another object."""


@every_overlay
def test_every_object_that_a_pod_names_is_there(overlay: str) -> None:
    beside = local_secrets()["items"] if overlay == LOCAL else []
    there = set(_made((*rendered(overlay), *beside)))
    missing = {
        f"{described(found)} wants {kind} {name}"
        for found, template in _pods(overlay)
        for kind, name in _references(template["spec"])
        if (kind, name) not in there
    }
    assert missing == set()


@every_overlay
def test_every_key_that_a_pod_takes_of_a_config_map_is_there(overlay: str) -> None:
    keys = {
        each["metadata"]["name"]: set(each.get("data", ()))
        for each in of_kind(rendered(overlay), "ConfigMap")
    }
    missing = {
        f"{described(found)} wants {key} of {name}"
        for found, template in _pods(overlay)
        for name, key in _keys(template["spec"])
        if name in keys and key not in keys[name]
    }
    assert missing == set()


@every_overlay
def test_every_service_leads_to_a_port_of_some_pod(overlay: str) -> None:
    lost = []
    for service in of_kind(rendered(overlay), "Service"):
        if "selector" not in service["spec"]:
            continue
        meant = [
            template
            for _, template in _pods(overlay)
            if matches({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"])
        ]
        ports = {value for template in meant for port in _container_ports(template) for value in port}
        targets = {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]}
        if not meant or not targets <= ports:
            lost.append(described(service))
    assert lost == []


def _pods(overlay: str) -> Iterator[tuple[Object, dict[str, Any]]]:
    return ((found, template) for found in rendered(overlay) for template in templates(found))


def _made(objects: tuple[Object, ...]) -> Iterator[Reference]:
    """What the overlay has, and what operators make of it."""
    for found in objects:
        name = found["metadata"]["name"]
        yield found["kind"], name
        if found["kind"] == "ExternalSecret":
            yield "Secret", found["spec"].get("target", {}).get("name", name)
        elif found["kind"] == "KafkaUser":
            yield "Secret", name
        elif found["kind"] == "Kafka":
            yield "Secret", f"{name}-cluster-ca-cert"


def _references(spec: Object) -> Iterator[Reference]:
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for field, value in _fields(spec):
        if field in NAMED_BY and not value.get("optional"):
            kind, key = NAMED_BY[field]
            yield kind, value[key]
        elif field == "secret" and not value.get("optional"):
            yield "Secret", value.get("secretName") or value["name"]


def _keys(spec: Object) -> Iterator[tuple[str, str]]:
    for field, value in _fields(spec):
        if field == "configMapKeyRef":
            yield value["name"], value["key"]
        elif field == "configMap":
            yield from ((value["name"], item["key"]) for item in value.get("items", ()))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every mapping below, by the name of the field that it is in."""
    if isinstance(value, dict):
        for name, inside in value.items():
            if isinstance(inside, dict):
                yield name, inside
            yield from _fields(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _fields(inside)


def _container_ports(template: Object) -> Iterator[tuple[str | int, ...]]:
    for container in template["spec"]["containers"]:
        for port in container.get("ports", ()):
            yield (port["containerPort"], port["name"]) if "name" in port else (port["containerPort"],)
