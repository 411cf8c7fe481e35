"""Deployment, Service, ServiceAccount and PodDisruptionBudget of a workload."""

from deploy.k8s.manifests.network import policy_of
from deploy.k8s.manifests.objects import (
    PRE_STOP_S,
    Object,
    metadata,
    pod_labels,
    process_pod,
    selector,
    service_account,
)
from deploy.k8s.manifests.workloads import CONSOLE, HTTP_PORT, Workload


def objects_of(workload: Workload) -> list[Object]:
    """All that a workload is, with the edges of its network."""
    parts = [service_account(workload.name), deployment(workload)]
    if workload is not CONSOLE:
        parts.append(service(workload.name))
    if workload.replicas != 1:
        parts.append(disruption_budget(workload.name))
    return [*parts, policy_of(workload)]


def deployment(workload: Workload) -> Object:
    pod = process_pod(workload)
    container = pod["containers"][0]
    if workload is CONSOLE:
        del container["ports"]
    else:
        container |= probes()
    if workload.serves_people:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": PRE_STOP_S}}}
    pod["topologySpreadConstraints"] = spread(workload.name)
    number = {} if workload.replicas is None else {"replicas": workload.replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload.name),
        "spec": number
        | {
            "revisionHistoryLimit": 5,
            "minReadySeconds": 5,
            # No replica goes before its successor is ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": selector(workload.name),
            "template": {"metadata": {"labels": pod_labels(workload)}, "spec": pod},
        },
    }


def probes() -> Object:
    """Readiness is red while Kafka or PostgreSQL is away, liveness is not: a restart would mend nothing."""

    def get(path: str, period_s: int, timeout_s: int, failures: int) -> Object:
        return {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": period_s,
            "timeoutSeconds": timeout_s,
            "failureThreshold": failures,
        }

    return {
        # Two minutes for imports on a node that is busy.
        "startupProbe": get("/livez", 2, 3, 60),
        # A minute without an answer is a hang, as the local stack has it.
        "livenessProbe": get("/livez", 10, 5, 6),
        "readinessProbe": get("/readyz", 5, 3, 3),
    }


def spread(name: str) -> list[Object]:
    """Over zones, then over nodes; a cluster that has too few of them still gets its pods."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector(name),
            # Of a rollout the new pods are spread, whatever the old ones are.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def service(name: str, port: int = HTTP_PORT) -> Object:
    """Headless: its name stands for the address of each ready pod, which is what health asks for."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": {
            "clusterIP": "None",
            "selector": selector(name)["matchLabels"],
            "ports": [{"name": "http", "port": port, "targetPort": "http"}],
        },
    }


def disruption_budget(name: str) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name),
        "spec": {
            "maxUnavailable": 1,
            "selector": selector(name),
            # While Kafka is away no pod is ready; nodes can be drained all the same.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
