"""Mistakes that people make in manifests, each with what the API server says to it."""

import copy
from dataclasses import dataclass
from typing import Any, Final

from tests.deploy.cluster.api import Object

Step = str | int
GONE: Final = object()
"""The field is left out."""

POD: Final[tuple[Step, ...]] = ("spec", "template", "spec")
CONTAINER: Final[tuple[Step, ...]] = (*POD, "containers", 0)


@dataclass(frozen=True)
class Defect:
    """One change of an object that was right."""

    kind: str
    path: tuple[Step, ...]
    value: Any
    refusal: str
    """Words of the server's answer."""

    def __str__(self) -> str:
        value = "left out" if self.value is GONE else self.value
        return f"{self.kind} {'.'.join(map(str, self.path))}: {value}"

    def seeded(self, wanted: Object) -> dict[str, Any]:
        """The object with the mistake. Raises `LookupError` where it has no such place."""
        changed: dict[str, Any] = copy.deepcopy(dict(wanted))
        parent: Any = changed
        for step in self.path[:-1]:
            parent = parent[step]
        if self.value is GONE:
            del parent[self.path[-1]]
        else:
            parent[self.path[-1]] = self.value
        return changed


DEFECTS: Final = (
    # A name that does not exist.
    Defect("Deployment", ("spec", "replica"), 2, "field not declared"),
    Defect("Deployment", (*POD, "serviceAccountname"), "crawler", "field not declared"),
    Defect("Deployment", (*CONTAINER, "resources", "request"), {"cpu": "1"}, "field not declared"),
    Defect("Deployment", (*CONTAINER, "livenessProbe", "httpGet", "url"), "/livez", "field not declared"),
    Defect(
        "Deployment", (*CONTAINER, "securityContext", "readonlyRootFilesystem"), True, "field not declared"
    ),
    Defect("NetworkPolicy", ("spec", "policyType"), ["Egress"], "field not declared"),
    Defect("PodDisruptionBudget", ("spec", "minAvailble"), 1, "field not declared"),
    Defect("HorizontalPodAutoscaler", ("spec", "behaviour"), {}, "field not declared"),
    Defect("ScaledObject", ("spec", "coolDownPeriod"), 60, "coolDownPeriod"),
    Defect("ServiceMonitor", ("spec", "endpoint"), [], "endpoint"),
    Defect("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expression"), "up == 0", "expression"),
    Defect("ExternalSecret", ("spec", "refreshIntervall"), "1h", "refreshIntervall"),
    Defect("KafkaTopic", ("spec", "partition"), 3, "partition"),
    Defect("KafkaUser", ("spec", "authorisation"), {}, "authorisation"),
    # A value of another type.
    Defect("Deployment", (*CONTAINER, "ports", 0, "containerPort"), "http", "containerPort"),
    Defect("ConfigMap", ("data", "ONPOINT_PORT"), 8080, "ONPOINT_PORT"),
    Defect("KafkaTopic", ("spec", "partitions"), "many", "spec.partitions"),
    Defect("ScaledObject", ("spec", "maxReplicaCount"), "twenty", "spec.maxReplicaCount"),
    Defect("ScaledObject", ("spec", "triggers", 0, "metadata", "threshold"), 60, "threshold"),
    # A value that cannot be.
    Defect("Deployment", (*CONTAINER, "resources", "limits", "memory"), "1Gigabyte", "quantities must match"),
    Defect(
        "Deployment",
        (*CONTAINER, "resources", "requests", "memory"),
        "900Gi",
        "must be less than or equal to memory limit",
    ),
    Defect("Deployment", (*CONTAINER, "imagePullPolicy"), "Sometimes", "supported values"),
    Defect("Deployment", (*CONTAINER, "volumeMounts", 0, "name"), "nowhere", "Not found"),
    Defect(
        "Deployment", ("spec", "selector", "matchLabels"), {"app.kubernetes.io/name": "another"}, "selector"
    ),
    Defect(
        "Deployment",
        ("spec", "strategy", "rollingUpdate"),
        {"maxSurge": 0, "maxUnavailable": 0},
        "may not be 0",
    ),
    Defect(
        "Deployment", (*POD, "topologySpreadConstraints", 0, "whenUnsatisfiable"), "Never", "supported values"
    ),
    Defect("Deployment", (*CONTAINER, "readinessProbe", "periodSeconds"), -1, "greater than or equal to 0"),
    Defect(
        "HorizontalPodAutoscaler",
        ("spec", "maxReplicas"),
        0,
        "must be greater than or equal to `minReplicas`",
    ),
    Defect("HorizontalPodAutoscaler", ("spec", "minReplicas"), 21, "maxReplicas"),
    Defect(
        "HorizontalPodAutoscaler",
        ("spec", "behavior", "scaleUp", "stabilizationWindowSeconds"),
        36_000,
        "3600",
    ),
    Defect("NetworkPolicy", ("spec", "policyTypes"), ["Outgress"], "supported values"),
    Defect("PodDisruptionBudget", ("spec",), {"minAvailable": 1, "maxUnavailable": 1}, "cannot be both set"),
    Defect("Service", ("spec", "ports", 0, "port"), 808_080, "between 1 and 65535"),
    Defect("Job", (*POD, "restartPolicy"), "Always", "restartPolicy"),
    Defect("KafkaTopic", ("spec", "partitions"), 0, "spec.partitions"),
    Defect("KafkaUser", ("spec", "authentication", "type"), "password", "supported values"),
    Defect("KafkaNodePool", ("spec", "roles"), ["leader"], "supported values"),
    Defect("ServiceAccount", ("metadata", "name"), "Crawler", "lowercase"),
    # What must be said.
    Defect("Deployment", (*CONTAINER, "image"), GONE, "image"),
    Defect("KafkaNodePool", ("spec", "storage"), GONE, "spec.storage"),
    Defect("ScaledObject", ("spec", "triggers"), GONE, "spec.triggers"),
    Defect("ServiceMonitor", ("spec", "selector"), GONE, "spec.selector"),
)
