"""Who owns the number of replicas of a service, and by what (docs/adr/0032). One owner each: two would undo one another."""

from typing import Any, Final, Literal

from deploy.k8s.manifests.objects import Object, metadata
from deploy.k8s.manifests.workloads import DASK_WORKER, PIPELINE
from shared.events.topology import SERVICES

LEAST, MOST = 2, 20
CPU_PERCENT, MEMORY_PERCENT = 70, 80
"""Of what is requested, over all replicas."""

LAG_S_PER_REPLICA: Final = 60
ROWS_PER_REPLICA: Final = 5_000_000
"""A hundred million rows to go are worth every replica that there may be. Both thresholds are in the brake's rule, too
(deploy/observe/rules/scaling.yaml)."""

PROMETHEUS_URL: Final = "http://prometheus-operated.monitoring.svc:9090"
"""As the Prometheus operator names it."""

BLIND_POLLS: Final = 4
"""Polls without an answer of Prometheus, a minute, after which the number stays as it is."""

Owner = Literal["hpa", "keda"]

WITH_KEDA: Final[dict[str, Owner]] = {
    # Its lag is the sources' own pace: more replicas would only ask them for more than they allow.
    "crawler": "hpa",
    "processor": "keda",
    "converter": "keda",
    "loader": "keda",
    "s3sink": "keda",
    # It keeps pace with the events; what it waits for is PostgreSQL, which more replicas would not speed up.
    "quality": "hpa",
}
"""Where KEDA is installed. Where it is not, every service has a HorizontalPodAutoscaler."""

BRAKED: Final = frozenset({"loader", "s3sink"})
"""They write into PostgreSQL. CPU and memory are no triggers of theirs: of several triggers the largest counts, so that each
would need a brake."""


def autoscaler(name: str) -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": LEAST,
            "maxReplicas": MOST,
            "metrics": [_utilisation("cpu", CPU_PERCENT), _utilisation("memory", MEMORY_PERCENT)],
            "behavior": behavior(),
        },
    }


def behavior() -> Object:
    """Twice as many a minute at most, after a minute; half as many a minute at most, after five."""

    def step(percent: int, window_s: int) -> dict[str, Any]:
        return {
            "stabilizationWindowSeconds": window_s,
            "policies": [{"type": "Percent", "value": percent, "periodSeconds": 60}],
        }

    return {"scaleUp": step(100, 60), "scaleDown": step(50, 300)}


def scaled_object(name: str) -> Object:
    triggers = [
        _figure(f'max(service:onpoint_scaling_lag_seconds:max{{service="{name}"}})', LAG_S_PER_REPLICA),
        _figure(f'max(service:onpoint_scaling_rows:sum{{service="{name}"}})', ROWS_PER_REPLICA),
    ]
    if name not in BRAKED:
        triggers += [_resource("cpu", CPU_PERCENT), _resource("memory", MEMORY_PERCENT)]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(name),
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": 15,
            "minReplicaCount": LEAST,
            "maxReplicaCount": MOST,
            "fallback": {
                "failureThreshold": BLIND_POLLS,
                "replicas": LEAST,
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior()}},
            "triggers": triggers,
        },
    }


def by_cpu_and_memory() -> list[Object]:
    return [autoscaler(workload.name) for workload in PIPELINE]


def by_lag() -> list[Object]:
    makers = {"hpa": autoscaler, "keda": scaled_object}
    return [makers[WITH_KEDA[name]](name) for name in SERVICES]


def of_dask_workers() -> list[Object]:
    return [autoscaler(DASK_WORKER.name)]


def _utilisation(resource: str, percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


def _figure(query: str, per_replica: int) -> Object:
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": PROMETHEUS_URL,
            "query": query,
            "threshold": str(per_replica),
            # No series is no answer: Prometheus does not see the service.
            "ignoreNullValues": "false",
        },
    }


def _resource(name: str, percent: int) -> Object:
    return {"type": name, "metricType": "Utilization", "metadata": {"value": str(percent)}}
